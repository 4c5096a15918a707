import { type EmailState, SetEmailRequest, VerifyEmailRequest } from '@latchkey/user-schema';
import type { Account, Accounts } from './accounts.js';
import { currentSession, requireFresh } from './current-session.js';
import type { Link } from './links.js';
import { emailTaken, invalidOneTimeToken, usernameTaken } from './problems.js';
import { empty, type Handler, json, readBody } from './requests.js';

/** The routes of e-mail addresses. */
export const emailRoutes: Record<string, Handler> = {
  'GET /auth/email': async (state, request) => {
    const { account } = currentSession(state, request);
    const link = state.links.findOf('verify-email', account);
    const pending = link ? { email: link.email, expiresAt: new Date(link.expiresAt).toISOString() } : null;
    return json({ email: account.user.email, pending } satisfies EmailState);
  },
  'PUT /auth/email': async (state, request) => {
    const { account } = requireFresh(state, currentSession(state, request));
    const { email } = await readBody(request, SetEmailRequest);
    const { token } = state.links.add('verify-email', account, email);
    state.mailbox.sendLink('verify-email', email, token);
    state.mailbox.sendNotice('email-change-requested', account.user.email);
    return empty(202);
  },
  'DELETE /auth/email': async (state, request) => {
    const { account } = requireFresh(state, currentSession(state, request));
    state.links.removeAllOf(account);
    state.mailbox.sendNotice('email-removed', account.user.email);
    account.user.email = null;
    return empty(204);
  },
  'POST /auth/email/verify': async ({ accounts, links }, request) => {
    const { token } = await readBody(request, VerifyEmailRequest);
    const link = links.find('verify-email', token);
    if (!link) throw invalidOneTimeToken();
    const owner = accounts.findByEmail(link.email);
    if (owner && owner !== link.owner) throw emailTaken();
    const account = completeSignUp(accounts, link);
    account.user.email = link.email;
    links.remove(link);
    links.removeAllOf(account);
    return empty(204);
  },
};

/** The account that a link is for, created when the link completes its sign-up. */
function completeSignUp(accounts: Accounts, { owner }: Link): Account {
  if ('user' in owner) return owner;
  const account = accounts.add(owner.signUp);
  if (!account) throw usernameTaken();
  return account;
}
