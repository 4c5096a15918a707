import type { Queryable } from '@latchkey/service-kit/database';
import type { SessionAccount } from '../sessions/session.js';
import { dropTokens } from './one-time-tokens/stored-tokens.js';

/**
 * Does what goes with the first factor of an account, in the transaction that adds it: a change of the address that was requested
 * with a password alone is void, like the other links of the account. That of a sign-up, which has no address yet, is not.
 *
 * @param before the account as it was before
 * @returns whether it is the first
 */
export async function beginFactors(db: Queryable, { account, highestAcr }: SessionAccount): Promise<boolean> {
  const isFirst = highestAcr === 'aal1';
  if (isFirst && account.email !== null) await dropTokens(db, account.id, 'verify-email', 'reset-password');
  return isFirst;
}
