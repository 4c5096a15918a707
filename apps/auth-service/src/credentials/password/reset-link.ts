import type { Queryable } from '@latchkey/service-kit/database';
import { makeToken } from '../one-time-tokens/stored-tokens.js';

/** Makes the link that resets the password of an account, which replaces the one before. With an address it proves that too. */
export async function makeResetLink(
  db: Queryable,
  appUrl: string,
  accountId: string,
  more: { email?: string | undefined; ttlS?: number } = {},
): Promise<{ link: string; expiresAt: string }> {
  const { token, expiresAt } = await makeToken(db, { accountId, purpose: 'reset-password', ...more });
  return { link: `${appUrl}/reset-password#token=${token}`, expiresAt };
}
