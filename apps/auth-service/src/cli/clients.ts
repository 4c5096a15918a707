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
import { withDatabase } from './database.js';
import { wholeSeconds } from './keys.js';
import { printRows, writeOut } from './output.js';

type Json = { json?: boolean };
type Secret = { secretFile?: string };

const DAY_S = 86_400;
const CLIENT_ID = /^[A-Za-z0-9._-]{1,64}$/;
// RFC 6749 §3.3
const SCOPE = /^[\x21\x23-\x5B\x5D-\x7E]{1,128}$/;
const MIN_SECRET_LENGTH = 32;

/** `latchkey clients …` */
export function clientCommands(): Command {
  const clients = new Command('clients').description('services that call with credentials of their own');

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
    .description('create a client and print its secret, once')
    .argument('<id>', 'A-Z a-z 0-9 . _ -')
    .option('--scope <scope>', 'what it may ask for, such as revocations:read; once for each', collect, [])
    .option('--secret-file <file>', 'take the secret from a file, or from standard input with -, instead of making one')
    .option('--if-missing', 'leave a client alone that is there already with this secret and these scopes', false)
    .option('--json', 'print JSON')
    .action(async (id: string, options: Json & Secret & { scope: string[]; ifMissing: boolean }) => {
      if (!CLIENT_ID.test(id)) throw new Error('A client id has 1 to 64 characters of A-Z a-z 0-9 . _ -.');
      const bad = options.scope.find(scope => !SCOPE.test(scope));
      if (bad !== undefined) throw new Error(`"${bad}" is not a scope (RFC 6749 §3.3).`);
      const secret = await secretFor(options);
      const client = { id, secretHash: hashClientSecret(secret), scopes: [...new Set(options.scope)] };
      await withDatabase(async ({ db, origin }) => {
        if (await insertClient(db, client, origin)) return printSecret(id, secret, options);
        const known = await findClient(db, id);
        if (!options.ifMissing || !known) throw new Error(`There is a client ${id} already.`);
        const differences = findDifferences(known, {
          id,
          ...(options.secretFile !== undefined && { secret }),
          ...(client.scopes.length > 0 && { scopes: client.scopes }),
        });
        if (differences.length > 0) throw new Error([`There is a client ${id} already.`, ...differences].join('\n'));
        console.error(`There is a client ${id} already.`);
      });
    });

  clients
    .command('rotate')
    .description('give a client another secret and print it, once; the one before stays good for a while')
    .argument('<id>')
    .option('--grace <seconds>', 'how long the secret before stays good', wholeSeconds, DAY_S)
    .option('--secret-file <file>', 'take the secret from a file, or from standard input with -')
    .option('--json', 'print JSON')
    .action(async (id: string, options: Json & Secret & { grace: number }) => {
      const secret = await secretFor(options);
      const client = { id, secretHash: hashClientSecret(secret), graceS: options.grace };
      await withDatabase(async ({ db, origin }) => {
        if (!(await replaceClientSecret(db, client, origin))) throw new Error(`There is no client ${id}.`);
        await printSecret(id, secret, options);
      });
    });

  for (const [name, disabled, description] of [
    ['disable', true, 'give a client no more tokens; those it has expire within ACCESS_TOKEN_TTL_S'],
    ['enable', false, 'give a disabled client tokens again'],
  ] as const) {
    clients
      .command(name)
      .description(description)
      .argument('<id>')
      .option('--json', 'print JSON')
      .action(async (id: string, { json }: Json) => {
        const changed = await withDatabase(({ db, origin }) => setClientDisabled(db, { id, disabled }, origin));
        if (changed === undefined) throw new Error(`There is no client ${id}.`);
        if (json) console.log(JSON.stringify({ clientId: id, disabled, changed }, null, 2));
        else console.error(`The client ${id} ${changed ? `is ${name}d` : `was ${name}d already`}.`);
      });
  }

  return clients;
}

function collect(scope: string, before: string[]): string[] {
  return [...before, scope];
}

async function secretFor({ secretFile }: Secret): Promise<string> {
  if (secretFile === undefined) return newClientSecret();
  const secret = (secretFile === '-' ? await text(process.stdin) : await readFile(secretFile, 'utf8')).trim();
  if (secret.length < MIN_SECRET_LENGTH || secret.length > 256) {
    throw new Error(`The secret must have ${MIN_SECRET_LENGTH} to 256 characters, and be random.`);
  }
  return secret;
}

/** Inside the transaction: a secret that could not be shown is not set. One that the caller brought is not shown again. */
async function printSecret(id: string, secret: string, { json, secretFile }: Json & Secret): Promise<void> {
  const shown = { clientId: id, ...(secretFile === undefined && { clientSecret: secret }) };
  const lines = Object.entries(shown).map(([name, value]) => `${name.padEnd(12)}  ${value}`);
  await writeOut(json ? JSON.stringify(shown, null, 2) : lines.join('\n'));
  if (secretFile === undefined) console.error('Keep the secret now: it cannot be shown again.');
}
