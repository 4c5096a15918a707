import type { Queryable } from '@latchkey/service-kit/database';
import type { AccessTokenClaims } from '@latchkey/user-schema';
import type { FastifyRequest } from 'fastify';
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

/**
 * Locks the account of a session that `requireFresh` has let pass, and judges it again: the account may have got its first factor since,
 * which this session has not proved. Runs in a transaction.
 *
 * @throws InvalidTokenError, InsufficientAuthenticationError
 */
export async function lockFreshSession(
  db: Queryable,
  { claims, server }: Pick<FastifyRequest, 'claims' | 'server'>,
): Promise<SessionAccount> {
  const session = await lockSession(db, claims);
  server.assertFresh({ claims, session });
  return session;
}
