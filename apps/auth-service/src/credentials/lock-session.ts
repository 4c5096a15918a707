import type { Queryable } from '@latchkey/service-kit/database';
import type { AccessTokenClaims } from '@latchkey/user-schema';
import { InvalidTokenError } from '../http/errors.js';
import { findSessionAccount, type SessionAccount } from '../sessions/session.js';
import { lockAccount } from './addresses.js';

/**
 * Locks the account of a session. A session that has ended meanwhile, as by a reset of the password, changes nothing any more.
 * Runs in a transaction.
 *
 * @throws InvalidTokenError when the session is not live
 */
export async function lockSession(db: Queryable, claims: AccessTokenClaims): Promise<SessionAccount> {
  await lockAccount(db, claims.id);
  const found = await findSessionAccount(db, claims);
  if (!found) throw new InvalidTokenError();
  return found;
}
