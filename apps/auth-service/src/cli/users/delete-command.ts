import { Command } from 'commander';
import { deleteAccount } from '../../accounts/delete.js';
import { type AccountDetails, findAccountNamed } from '../../accounts/details.js';
import { confirmDeletion, requireTerminal } from '../confirm.js';
import { MissingError, withDatabase } from '../database.js';
import { plural } from '../doctor/finding.js';

type Options = { yes: boolean; json?: boolean };

/** `latchkey users delete` */
export function deleteCommand(): Command {
  return new Command('delete')
    .description('delete an account for good: its sessions end, and its username becomes free')
    .argument('<username>')
    .option('--yes', 'do not ask', false)
    .option('--json', 'print JSON')
    .action(async (username: string, { yes, json }: Options) => {
      if (!yes) requireTerminal('account', username);
      // By its username only: one that has the form of an id must not stand for the account that has that id.
      const account = await withDatabase(({ db }) => findAccountNamed(db, username));
      if (!account) throw new MissingError(`There is no account ${username}.`);
      // Outside a transaction: nothing waits for the operator.
      if (!yes) await confirmDeletion('account', account.username, describe(account));
      const ended = await withDatabase(({ db, origin }) => deleteAccount(db, account.id, origin));
      if (ended === undefined) throw new Error(`The account ${account.username} was deleted meanwhile.`);
      const { id } = account;
      if (json) console.log(JSON.stringify({ id, username: account.username, endedSessions: ended }, null, 2));
      else console.error(`The account ${account.username} (${id}) is deleted, with ${plural(ended, 'live session')}.`);
    });
}

function describe({ id, username, createdAt, sessions }: AccountDetails): string {
  return `The account ${username} (${id}) of ${createdAt} has ${plural(sessions, 'live session')}.`;
}
