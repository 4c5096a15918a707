import { Command } from 'commander';
import { renameAccount } from '../../accounts/rename.js';
import { isUsername, USERNAME_FORM } from '../../credentials/username.js';
import { MissingError, withDatabase } from '../database.js';

/** `latchkey users rename` */
export function renameCommand(): Command {
  return new Command('rename')
    .description('give an account another username; the previous one becomes free')
    .argument('<username>')
    .argument('<new-username>')
    .option('--json', 'print JSON')
    .action(async (from: string, to: string, { json }: { json?: boolean }) => {
      if (!isUsername(to)) throw new Error(`"${to}" is not a username: ${USERNAME_FORM}`);
      const result = await withDatabase(({ db, origin }) => renameAccount(db, { from, to }, origin));
      if (result === 'unknown') throw new MissingError(`There is no account ${from}.`);
      if (result === 'taken') throw new Error(`The username ${to} is taken.`);
      const changed = result === 'renamed';
      if (json) console.log(JSON.stringify({ username: to, changed }, null, 2));
      else if (changed)
        console.error(
          `The account ${from} is ${to} now. Its access tokens keep the previous username until they expire.`,
        );
      else console.error(`The account was ${to} already.`);
    });
}
