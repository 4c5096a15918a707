import { Command, InvalidArgumentError } from 'commander';
import { KEY_LEAD_S, retireKey, rotateKeys } from '../keys/rotation.js';
import { listKeys } from '../keys/stored-keys.js';
import { withDatabase } from './database.js';
import { printRows } from './output.js';

type Json = { json?: boolean };

/** `latchkey keys …` */
export function keyCommands(): Command {
  const keys = new Command('keys').description('manage the keys that sign access tokens');

  keys
    .command('list')
    .description('list the keys with their states: next, active, retired or gone')
    .option('--json', 'print JSON')
    .action(async ({ json }: Json) => printKeys(await withDatabase(({ db }) => listKeys(db)), json));

  keys
    .command('rotate')
    .description('add a key: it is published now and signs after the lead, and the active key then retires')
    .option('--lead <seconds>', 'how long the new key is published before it signs', wholeSeconds, KEY_LEAD_S)
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
    .description('retire a key now; the next key or a new one replaces an active key')
    .argument('<kid>', 'id of the key')
    .option('--distrust', 'refuse the tokens that the key has signed, as when it has leaked', false)
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
  printRows(rows, { ...(json && { json }), empty: 'There are no keys yet. The service makes one when it starts.' });
}

/** Parses a number of seconds. */
export function wholeSeconds(text: string): number {
  if (!/^\d{1,8}$/.test(text)) throw new InvalidArgumentError('It must be a whole number of seconds.');
  return Number(text);
}
