import { createHash } from 'node:crypto';
import type { Queryable } from '@latchkey/service-kit/database';
import type { FastifyInstance } from 'fastify';
import { uuidv7 } from 'uuidv7';
import { claimAddress, findByAddress } from '../credentials/addresses.js';
import { foldName } from '../credentials/identifiers.js';
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
    // By its address, so that the newest link is the only one.
    const about = {
      accountId: idOf(to),
      purpose: 'sign-up',
      email: to,
      signUp: { username, passwordHash, mailId: id },
    } as const;
    const { token, expiresAt, isRepeated } = await makeToken(db, about);
    const values = { username, link: verificationLink(appUrl, token), expiresAt };
    // Perhaps of somebody else, whose password would come with the account.
    return { template: 'verify-email', to, values: { ...values, ...(isRepeated && { repeated: 'yes' }) } };
  });
}

/**
 * Adds the account of a confirmed sign-up. Runs in a transaction, which is to be undone when this throws.
 *
 * @throws UsernameTakenError, EmailTakenError when others have taken them since
 */
export async function confirmSignUp(db: Queryable, used: ValidToken, origin: Origin): Promise<RecordedEvent[]> {
  const { email, signUp } = used;
  const accountId = uuidv7();
  if (!signUp || email === null) throw new InvalidOneTimeTokenError();
  const { username, passwordHash } = signUp;
  const events = await addAccount(db, { id: accountId, email, username, passwordHash }, origin);
  if (!events) throw new UsernameTakenError();
  if (!(await claimAddress(db, accountId, email))) throw new EmailTakenError();
  return events;
}

/** The id of the pending sign-up of an address, in the form of a UUID. */
function idOf(email: string): string {
  const hex = createHash('sha256').update(foldName(email)).digest('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5');
}
