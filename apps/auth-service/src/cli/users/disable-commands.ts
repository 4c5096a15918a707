import { Command } from 'commander';
import { setDisabled } from '../../accounts/disable.js';
import { MissingError, withDatabase } from '../database.js';

/** `latchkey users disable` */
export const disableCommand = (): Command =>
  command('disable', true, 'disable an account: it cannot sign in, and its sessions end');

/** `latchkey users enable` */
export const enableCommand = (): Command => command('enable', false, 'enable a disabled account: it can sign in again');

function command(name: string, disabled: boolean, description: string): Command {
  return new Command(name)
    .description(description)
    .argument('<username>')
    .option('--json', 'print JSON')
    .action(async (username: string, { json }: { json?: boolean }) => {
      const changed = await withDatabase(({ db, origin }) => setDisabled(db, { username, disabled }, origin));
      if (changed === undefined) throw new MissingError(`There is no account ${username}.`);
      if (json) console.log(JSON.stringify({ username, disabled, changed }, null, 2));
      else console.error(`The account ${username} ${changed ? `is ${name}d` : `was ${name}d already`}.`);
    });
}
