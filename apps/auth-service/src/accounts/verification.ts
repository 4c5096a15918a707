import type { Queryable } from '@latchkey/service-kit/database';
import type { FastifyInstance } from 'fastify';
import { makeToken } from '../credentials/one-time-tokens/stored-tokens.js';

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
