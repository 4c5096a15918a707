import { Command } from 'commander';
import { deleteClient, findClient } from '../../clients/stored-clients.js';
import { confirmDeletion, requireTerminal } from '../confirm.js';
import { MissingError, withDatabase } from '../database.js';

type Options = { yes: boolean; json?: boolean };

/** `latchkey clients delete` */
export function deleteCommand(): Command {
  return new Command('delete')
    .description('delete a client for good: it gets no more tokens; those it has expire within ACCESS_TOKEN_TTL_S')
    .argument('<id>')
    .option('--yes', 'do not ask', false)
    .option('--json', 'print JSON')
    .action(async (id: string, { yes, json }: Options) => {
      if (!yes) {
        requireTerminal('client', id);
        const client = await withDatabase(({ db }) => findClient(db, id));
        if (!client) throw new MissingError(`There is no client ${id}.`);
        const scopes = client.scopes.length > 0 ? `the scopes ${client.scopes.join(' ')}` : 'no scope';
        // Outside a transaction: nothing waits for the operator.
        await confirmDeletion('client', id, `The client ${id} has ${scopes}.`);
      }
      const deleted = await withDatabase(({ db, origin }) => deleteClient(db, id, origin));
      if (!deleted) throw new MissingError(`There is no client ${id}.`);
      if (json) console.log(JSON.stringify({ clientId: id, deleted }, null, 2));
      else console.error(`The client ${id} is deleted.`);
    });
}
