import type { Queryable } from '@latchkey/service-kit/database';
import type { FastifyInstance } from 'fastify';
import { claimAddress, findByAddress } from '../credentials/addresses.js';
import { makeToken, type ValidToken } from '../credentials/one-time-tokens/stored-tokens.js';
import type { Origin, RecordedEvent } from '../events/recorder.js';
import { EmailTakenError, InvalidOneTimeTokenError, UsernameTakenError } from '../http/errors.js';
import { addAccount } from './sign-up.js';
import { verificationLink } from './verification.js';

/** The mail of a sign-up with `SIGN_UP=email`, before it is known whether an account has the address. */
export const SIGN_UP_REQUEST = 'sign-up-request';

/**
 * Adds what finds the mail of a sign-up, when it is about to be sent: a link for an address that is new, and otherwise word to its
 * owner. The request does the same for both. A name is claimed by the link: a sign-up that is not confirmed reserves nothing.
 */
export function prepareSignUpMails({ mail }: Pick<FastifyInstance, 'mail'>, appUrl: string): void {
  mail.prepare(SIGN_UP_REQUEST, async (db, { id, to, values: { username = '', passwordHash = '' } }) => {
    const owner = await findByAddress(db, to);
    if (owner) {
      const values = { username: owner.username, link: appUrl };
      return { template: 'sign-up-repeated', to: owner.email, values };
    }
    // The id of the mail, so that a second attempt to send it replaces the token of the first.
    const about = { accountId: id, purpose: 'sign-up', email: to, signUp: { username, passwordHash } } as const;
    const { token, expiresAt } = await makeToken(db, about);
    return { template: 'verify-email', to, values: { username, link: verificationLink(appUrl, token), expiresAt } };
  });
}

/**
 * Adds the account of a confirmed sign-up. Runs in a transaction, which is to be undone when this throws.
 *
 * @throws UsernameTakenError, EmailTakenError when others have taken them since
 */
export async function confirmSignUp(db: Queryable, used: ValidToken, origin: Origin): Promise<RecordedEvent[]> {
  const { accountId, email, signUp } = used;
  if (!signUp || email === null) throw new InvalidOneTimeTokenError();
  const events = await addAccount(db, { id: accountId, email, ...signUp }, origin);
  if (!events) throw new UsernameTakenError();
  if (!(await claimAddress(db, accountId, email))) throw new EmailTakenError();
  return events;
}
