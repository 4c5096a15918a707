import { Command } from 'commander';
import { findAccount } from '../../accounts/details.js';
import { removeAddress } from '../../credentials/addresses.js';
import { MissingError, withDatabase } from '../database.js';

/** `latchkey users remove-email` */
export function removeEmailCommand(): Command {
  return new Command('remove-email')
    .description(
      'remove the address of an account, as when somebody else has set it; links that were mailed to it are void',
    )
    .argument('<username|address|id>')
    .option('--json', 'print JSON')
    .action((nameOrId: string, { json }: { json?: boolean }) =>
      withDatabase(async ({ db, origin }) => {
        const account = await findAccount(db, nameOrId);
        if (!account) throw new MissingError(`There is no account ${nameOrId}.`);
        const { id, username } = account;
        const changed = (await removeAddress(db, id, origin)) !== undefined;
        if (json) console.log(JSON.stringify({ id, username, changed }, null, 2));
        else console.error(`The account ${username} ${changed ? 'has no address now' : 'had no verified address'}.`);
      }),
    );
}
