import { Command } from 'commander';
import { findAccount } from '../../accounts/details.js';
import { makeResetLink } from '../../credentials/password/reset-link.js';
import { recordEvent } from '../../events/recorder.js';
import { MissingError, withDatabase } from '../database.js';
import { printFields } from '../output.js';

/** What to do with a link that is printed. */
export const LINK_ADVICE = 'Give it to its owner, and to nobody else: who has it chooses the password.';

/** `latchkey users reset-link` */
export function resetLinkCommand(): Command {
  return new Command('reset-link')
    .description('make a link by which the owner of an account chooses a new password; it replaces the one before')
    .argument('<username|address|id>')
    .option('--json', 'print JSON')
    .action((nameOrId: string, { json }: { json?: boolean }) =>
      withDatabase(async ({ db, config, origin }) => {
        const account = await findAccount(db, nameOrId);
        if (!account) throw new MissingError(`There is no account ${nameOrId}.`);
        const { id, username, disabledAt } = account;
        if (disabledAt !== null) throw new Error(`The account ${username} is disabled: enable it first.`);
        const link = await makeResetLink(db, config.appUrl, id);
        await recordEvent(db, origin, 'password_reset_requested', { userId: id, details: null });
        printFields({ username, ...link }, { ...(json && { json }) });
        if (!json) console.error(LINK_ADVICE);
      }),
    );
}
