import { Command, InvalidArgumentError } from 'commander';
import { addInvited } from '../../accounts/invite.js';
import { isMailAddress } from '../../config/mail-address.js';
import { findByAddress } from '../../credentials/addresses.js';
import { makeResetLink } from '../../credentials/password/reset-link.js';
import { isUsername, USERNAME_FORM } from '../../credentials/username.js';
import { queueMail } from '../../mail/queue.js';
import { withDatabase } from '../database.js';
import { printFields } from '../output.js';
import { LINK_ADVICE } from './reset-link-command.js';

const INVITATION_TTL_S = 7 * 86_400;

/** `latchkey users invite` */
export function inviteCommand(): Command {
  return new Command('invite')
    .description('add an account without a password, and a link by which its owner chooses one')
    .argument('<username>')
    .option('--email <address>', 'mail the link there, which proves the address; otherwise it is printed', address)
    .option('--json', 'print JSON')
    .action((username: string, { email, json }: { email?: string; json?: boolean }) =>
      withDatabase(async ({ db, config, origin }) => {
        if (!isUsername(username)) throw new Error(`"${username}" is not a username: ${USERNAME_FORM}`);
        if (email !== undefined && config.production && !config.mail.smtp) {
          throw new Error('No mail can be sent without SMTP_URL. Leave --email out to have the link printed.');
        }
        if (email !== undefined && (await findByAddress(db, email))) {
          throw new Error('An account has verified that address already.');
        }
        const accountId = await addInvited(db, username, origin);
        if (accountId === undefined) throw new Error(`The username ${username} is taken.`);
        const { link, expiresAt } = await makeResetLink(db, config.appUrl, accountId, {
          email,
          ttlS: INVITATION_TTL_S,
        });
        const values = { username, link, expiresAt };
        if (email !== undefined) {
          await queueMail(db, config.authSecrets[0], { template: 'invitation', values, to: email, accountId });
        }
        const fields = { id: accountId, username, ...(email === undefined ? { link } : { email }), expiresAt };
        printFields(fields, { ...(json && { json }) });
        if (!json && email === undefined) console.error(LINK_ADVICE);
      }),
    );
}

function address(text: string): string {
  if (!isMailAddress(text)) throw new InvalidArgumentError('It is not an e-mail address.');
  return text;
}
