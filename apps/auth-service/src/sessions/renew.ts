import type { Queryable } from '@latchkey/service-kit/database';
import { statement } from '../database/sql.js';
import { newSalt } from './refresh-token.js';
import { IS_LIVE, IS_SESSION, type Lifetimes, type SessionState, STATE } from './session.js';

type RenewedSession = { accountId: string; sessionId: string; credentialVersion: number };

const RENEW = statement<SessionState, Lifetimes & RenewedSession & { salt: Buffer }>(`
  WITH s AS (
    UPDATE auth.sessions s SET salt = $salt, generation = s.generation + 1, rotated_at = now(),
      credential_version = $credentialVersion::int, auth_time = now(),
      expires_at = least(now() + make_interval(secs => $refreshTokenTtlS::int), s.ends_at),
      token_expires_at = greatest(s.token_expires_at,
        now() + make_interval(secs => least($accessTokenTtlS::int, $refreshTokenTtlS::int)))
    WHERE ${IS_SESSION} AND ${IS_LIVE} RETURNING s.*
  )
  SELECT ${STATE} FROM s`);

/**
 * Gives a session a new salt, which makes all its refresh tokens invalid, when its caller has proved the account's credentials
 * again. Resolves to `undefined` when the session has ended.
 */
export async function renewSession(
  db: Queryable,
  session: RenewedSession,
  lifetimes: Lifetimes,
): Promise<SessionState | undefined> {
  const [renewed] = await RENEW(db, { ...lifetimes, ...session, salt: newSalt() });
  return renewed;
}
