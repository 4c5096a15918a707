import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { Command } from 'commander';
import { findDifferences } from '../clients/difference.js';
import { hashClientSecret } from '../clients/secret.js';
import {
  findClient,
  insertClient,
  listClients,
  replaceClientSecret,
  setClientDisabled,
} from '../clients/stored-clients.js';
import { newClientSecret } from '../config/secrets.js';
import { USERS_CLIENT_ID } from '../tokens/claims.js';
import { deleteCommand } from './clients/delete-command.js';
import { assertScopes, collect } from './clients/scope.js';
import { scopesCommand } from './clients/scopes-command.js';
import { MissingError, withDatabase } from './database.js';
import { wholeSeconds } from './keys.js';
import { printRows, writeOut } from './output.js';

type Json = { json?: boolean };
type Secret = { secretFile?: string };

const DAY_S = 86_400;
const CLIENT_ID = /^[A-Za-z0-9._-]{1,64}$/;
const MIN_SECRET_LENGTH = 32;

/** `latchkey clients …` */
export function clientCommands(): Command {
  const clients = new Command('clients').description('manage the services that have credentials of their own');

  clients
    .command('list')
    .description('list the clients')
    .option('--json', 'print JSON')
    .action(({ json }: Json) =>
      withDatabase(async ({ db }) => {
        printRows(await listClients(db), { ...(json && { json }), empty: 'There are no clients.' });
      }),
    );

  clients
    .command('create')
    .description('create a client and print its secret; it cannot be shown again')
    .argument('<id>', 'A-Z a-z 0-9 . _ -')
    .option(
      '--scope <scope>',
      'scope that the client may request, such as revocations:read; repeat it for several',
      collect,
      [],
    )
    .option('--secret-file <file>', 'file with the secret, or - for standard input; by default a secret is generated')
    .option('--if-missing', 'succeed when the client exists with this secret and these scopes', false)
    .option('--json', 'print JSON')
    .action(async (id: string, options: Json & Secret & { scope: string[]; ifMissing: boolean }) => {
      if (!CLIENT_ID.test(id)) throw new Error('A client id has 1 to 64 characters of A-Z a-z 0-9 . _ -.');
      if (id.toLowerCase() === USERS_CLIENT_ID)
        throw new Error(`The client id ${id} stands for tokens of users: choose another.`);
      assertScopes(options.scope);
      const secret = await secretFor(options);
      const client = { id, secretHash: hashClientSecret(secret), scopes: [...new Set(options.scope)] };
      await withDatabase(async ({ db, origin }) => {
        if (await insertClient(db, client, origin)) return printSecret(id, secret, options);
        const known = await findClient(db, id);
        if (!options.ifMissing || !known) throw new Error(`The client ${id} exists already.`);
        const differences = findDifferences(known, {
          id,
          ...(options.secretFile !== undefined && { secret }),
          ...(client.scopes.length > 0 && { scopes: client.scopes }),
        });
        if (differences.length > 0) throw new Error([`The client ${id} exists already.`, ...differences].join('\n'));
        console.error(`The client ${id} exists already.`);
      });
    });

  clients
    .command('rotate')
    .description(
      'give a client a new secret and print it; the old one stays valid for a grace period, and one before it does not',
    )
    .argument('<id>')
    .option('--grace <seconds>', 'how long the old secret stays valid', wholeSeconds, DAY_S)
    .option(
      '--secret-file <file>',
      'file with the new secret, or - for standard input; by default a secret is generated',
    )
    .option('--json', 'print JSON')
    .action(async (id: string, options: Json & Secret & { grace: number }) => {
      const secret = await secretFor(options);
      const client = { id, secretHash: hashClientSecret(secret), graceS: options.grace };
      await withDatabase(async ({ db, origin }) => {
        const before = await findClient(db, id);
        if (!before || !(await replaceClientSecret(db, client, origin)))
          throw new MissingError(`There is no client ${id}.`);
        if (before.secretHashes.length > 1) {
          console.error('Two secrets were good. The older one is refused from now on.');
        }
        await printSecret(id, secret, options);
      });
    });

  for (const [name, disabled, description] of [
    ['disable', true, 'disable a client: it gets no more tokens; those it has expire within ACCESS_TOKEN_TTL_S'],
    ['enable', false, 'enable a disabled client: it gets tokens again'],
  ] as const) {
    clients
      .command(name)
      .description(description)
      .argument('<id>')
      .option('--json', 'print JSON')
      .action(async (id: string, { json }: Json) => {
        const changed = await withDatabase(({ db, origin }) => setClientDisabled(db, { id, disabled }, origin));
        if (changed === undefined) throw new MissingError(`There is no client ${id}.`);
        if (json) console.log(JSON.stringify({ clientId: id, disabled, changed }, null, 2));
        else console.error(`The client ${id} ${changed ? `is ${name}d` : `was ${name}d already`}.`);
      });
  }

  return clients.addCommand(scopesCommand()).addCommand(deleteCommand());
}

async function secretFor({ secretFile }: Secret): Promise<string> {
  if (secretFile === undefined) return newClientSecret();
  const secret = (secretFile === '-' ? await text(process.stdin) : await readFile(secretFile, 'utf8')).trim();
  if (secret.length < MIN_SECRET_LENGTH || secret.length > 256) {
    throw new Error(
      `The secret must have ${MIN_SECRET_LENGTH} to 256 characters, and it has ${secret.length}. Make a random one with: openssl rand -base64 32`,
    );
  }
  return secret;
}

/** Runs inside the transaction, so that a secret that cannot be printed is not stored. A secret from a file is not printed. */
async function printSecret(id: string, secret: string, { json, secretFile }: Json & Secret): Promise<void> {
  const shown = { clientId: id, ...(secretFile === undefined && { clientSecret: secret }) };
  const lines = Object.entries(shown).map(([name, value]) => `${name.padEnd(12)}  ${value}`);
  await writeOut(json ? JSON.stringify(shown, null, 2) : lines.join('\n'));
  if (secretFile === undefined) console.error('Store the secret now: it cannot be shown again.');
}
