import { ForgotPasswordRequest, OneTimeToken } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import type { Account } from './accounts.js';
import { invalidOneTimeToken } from './problems.js';
import { checkPassword, empty, type Handler, Password, readBody } from './requests.js';

const ResetPasswordRequest = Type.Object(
  { token: OneTimeToken, newPassword: Password },
  { additionalProperties: false },
);

/** The routes of forgotten passwords. */
export const recoveryRoutes: Record<string, Handler> = {
  'POST /auth/password/forgot': async ({ accounts, links, mailbox }, request) => {
    const { email } = await readBody(request, ForgotPasswordRequest);
    const account = accounts.findByEmail(email);
    if (account?.user.email) {
      const to = account.user.email;
      mailbox.sendLink('reset-password', to, links.add('reset-password', account, to).token);
    }
    return empty(202);
  },
  'POST /auth/password/reset': async ({ accounts, links, mailbox, passwordMinLength }, request) => {
    const { token, newPassword } = await readBody(request, ResetPasswordRequest);
    const link = links.find('reset-password', token);
    if (!link) throw invalidOneTimeToken();
    checkPassword(newPassword, passwordMinLength, '/newPassword');
    const account = link.owner as Account;
    account.password = newPassword;
    account.credentialVersion++;
    links.removeAllOf(account);
    accounts.endAllSessions(account);
    mailbox.sendNotice('password-reset', account.user.email);
    return empty(204);
  },
};
