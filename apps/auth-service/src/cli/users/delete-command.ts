import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { Command } from 'commander';
import { deleteAccount } from '../../accounts/delete.js';
import { type AccountDetails, findAccountNamed } from '../../accounts/details.js';
import { withDatabase } from '../database.js';
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
      if (!yes && !process.stdin.isTTY) {
        throw new Error(`This deletes the account ${username} for good: add --yes, or run it on a terminal.`);
      }
      // By its username only: one that has the form of an id must not stand for the account that has that id.
      const account = await withDatabase(({ db }) => findAccountNamed(db, username));
      if (!account) throw new Error(`There is no account ${username}.`);
      // Outside a transaction: nothing waits for the operator.
      if (!yes && !(await isConfirmed(account))) throw new Error('This is not its username: nothing was deleted.');
      const ended = await withDatabase(({ db, origin }) => deleteAccount(db, account.id, origin));
      if (ended === undefined) throw new Error(`The account ${account.username} was deleted meanwhile.`);
      const { id } = account;
      if (json) console.log(JSON.stringify({ id, username: account.username, endedSessions: ended }, null, 2));
      else console.error(`The account ${account.username} (${id}) is deleted, with ${plural(ended, 'live session')}.`);
    });
}

async function isConfirmed({ id, username, createdAt, sessions }: AccountDetails): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  console.error(`The account ${username} (${id}) of ${createdAt} has ${plural(sessions, 'live session')}.`);
  // On Ctrl-C and Ctrl-D the question rejects; it stays open when the terminal goes away.
  const answered = terminal.question('Type the username to delete it: ').catch(() => undefined);
  const typed = await Promise.race([answered, once(terminal, 'close').then(() => undefined)]);
  terminal.close();
  return typed === username;
}
