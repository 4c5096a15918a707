import { Command } from 'commander';
import { findClient, setClientScopes } from '../../clients/stored-clients.js';
import { MissingError, withDatabase } from '../database.js';
import { assertScopes, collect } from './scope.js';

type Options = { add: string[]; remove: string[]; json?: boolean };

/** `latchkey clients scopes` */
export function scopesCommand(): Command {
  return new Command('scopes')
    .description('show or change the scopes of a client; tokens keep those they have until they expire')
    .argument('<id>')
    .option('--add <scope>', 'scope that the client may request from now on; repeat it for several', collect, [])
    .option('--remove <scope>', 'scope that it may not request any more; repeat it for several', collect, [])
    .option('--json', 'print JSON')
    .action(async (id: string, { add, remove, json }: Options) => {
      assertScopes(add);
      await withDatabase(async ({ db, origin }) => {
        const client = await findClient(db, id);
        if (!client) throw new MissingError(`There is no client ${id}.`);
        const missing = remove.find(scope => !client.scopes.includes(scope));
        if (missing !== undefined) throw new Error(`The client ${id} does not have the scope ${missing}.`);
        const scopes = [...new Set([...client.scopes, ...add])].filter(scope => !remove.includes(scope));
        const changed = scopes.join(' ') !== client.scopes.join(' ');
        if (changed) await setClientScopes(db, { id, scopes }, origin);
        if (json) console.log(JSON.stringify({ clientId: id, scopes, changed }, null, 2));
        else console.log(scopes.join('\n') || 'It has no scopes.');
      });
    });
}
