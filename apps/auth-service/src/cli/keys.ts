import { Command, InvalidArgumentError } from 'commander';
import { KEY_LEAD_S, retireKey, rotateKeys } from '../keys/life.js';
import { listKeys } from '../keys/stored-keys.js';
import { withDatabase } from './database.js';
import { printRows } from './output.js';

type Json = { json?: boolean };

/** `latchkey keys …` */
export function keyCommands(): Command {
  const keys = new Command('keys').description('the keys that sign access tokens');

  keys
    .command('list')
    .description('list the keys and where they are in their life: next, active, retired, gone')
    .option('--json', 'print JSON')
    .action(async ({ json }: Json) => printKeys(await withDatabase(({ db }) => listKeys(db)), json));

  keys
    .command('rotate')
    .description('add a key; the active one hands over to it when everybody can know it, and retires')
    .option('--lead <seconds>', 'how long the key is published before it signs', wholeSeconds, KEY_LEAD_S)
    .option('--json', 'print JSON')
    .action(async ({ lead, json }: Json & { lead: number }) => {
      const after = await withDatabase(async ({ db, config, origin }) => {
        await rotateKeys(db, config, lead, origin);
        return listKeys(db);
      });
      printKeys(after, json);
    });

  keys
    .command('retire')
    .description('take a key out now; an active one hands over to the next or a new one')
    .argument('<kid>', 'id of the key')
    .option('--distrust', 'refuse the tokens that it has signed: for a key that has leaked', false)
    .option('--json', 'print JSON')
    .action(async (kid: string, { distrust, json }: Json & { distrust: boolean }) => {
      const after = await withDatabase(async ({ db, config, origin }) => {
        await retireKey(db, config, { kid, distrust }, origin);
        return listKeys(db);
      });
      printKeys(after, json);
    });

  return keys;
}

function printKeys(keys: Awaited<ReturnType<typeof listKeys>>, json: boolean | undefined): void {
  const rows = keys.map(({ kid, state, publicJwk, activeFrom, retiredFrom, goneFrom, secretId }) => ({
    ...{ kid, state, algorithm: publicJwk.alg, activeFrom, retiredFrom, goneFrom, secretId },
  }));
  printRows(rows, { ...(json && { json }), empty: 'There are no keys yet; the service makes one when it starts.' });
}

/** Reads a number of seconds. */
export function wholeSeconds(text: string): number {
  if (!/^\d{1,8}$/.test(text)) throw new InvalidArgumentError('It must be a whole number of seconds.');
  return Number(text);
}
