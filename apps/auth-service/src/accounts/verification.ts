import type { Queryable } from '@latchkey/service-kit/database';
import type { FastifyInstance } from 'fastify';
import { makeToken } from '../credentials/one-time-tokens/stored-tokens.js';
import { invalidMember } from '../http/errors.js';

/**
 * Checks whether a link can be mailed to the address of a sign-up, when it has one.
 *
 * @throws InvalidRequestError
 */
export function checkSignUpAddress({ mail }: Pick<FastifyInstance, 'mail'>, email: string | undefined): void {
  if (email !== undefined && !mail.isAvailable) {
    throw invalidMember('/email', 'not_allowed', 'This service sends no mails.');
  }
}

/** The link that verifies an address with a token. */
export const verificationLink = (appUrl: string, token: string): string => `${appUrl}/verify-email#token=${token}`;

/** Mails the link that verifies an address of an account, in the transaction of the caller; it replaces the one before. */
export async function mailVerification(
  { mail }: Pick<FastifyInstance, 'mail'>,
  db: Queryable,
  appUrl: string,
  { accountId, username, email }: { accountId: string; username: string; email: string },
): Promise<void> {
  const { token, expiresAt } = await makeToken(db, { accountId, purpose: 'verify-email', email });
  const values = { username, link: verificationLink(appUrl, token), expiresAt };
  await mail.queue(db, { template: 'verify-email', to: email, values, accountId });
}
