import type { Queryable } from '@latchkey/service-kit/database';
import { statement } from '../database/sql.js';
import { HAS_FACTOR } from './factors.js';
import { newSalt } from './refresh-token.js';
import { IS_LIVE, IS_SESSION, type Lifetimes, type SessionState, STATE } from './session.js';

type RenewedSession = { accountId: string; sessionId: string; credentialVersion: number };

const renew = (changes: string) =>
  statement<SessionState, Lifetimes & RenewedSession & { salt?: Buffer; amr?: string[] }>(`
  WITH s AS (
    UPDATE auth.sessions s SET ${changes}, generation = s.generation + 1, rotated_at = now(),
      credential_version = $credentialVersion::int,
      expires_at = least(now() + make_interval(secs => $refreshTokenTtlS::int), s.ends_at),
      token_expires_at = greatest(s.token_expires_at,
        now() + make_interval(secs => least($accessTokenTtlS::int, $refreshTokenTtlS::int)))
    WHERE ${IS_SESSION} AND ${IS_LIVE} RETURNING s.*
  )
  SELECT ${STATE} FROM s`);

// A password does not make the proof of a second factor any younger. A distributed table takes no now() in CASE.
const RENEW = renew(
  `salt = $salt, auth_time = least(now(), CASE WHEN 'mfa' = ANY (s.amr) THEN s.auth_time ELSE 'infinity'::timestamptz END)`,
);
const STEP_UP = renew('amr = $amr, auth_time = now()');

/**
 * Gives a session a new salt, which makes all its refresh tokens invalid, when its caller has changed the password. Resolves to
 * `undefined` when the session has ended.
 */
export async function renewSession(
  db: Queryable,
  session: RenewedSession,
  lifetimes: Lifetimes,
): Promise<SessionState | undefined> {
  const [renewed] = await RENEW(db, { ...lifetimes, ...session, salt: newSalt() });
  return renewed;
}

/**
 * Makes a session one of a user who has just proved `amr`. As after a refresh, the refresh token before stays good for the grace
 * period. Resolves to `undefined` when the session has ended.
 */
export async function stepUpSession(
  db: Queryable,
  session: RenewedSession & { amr: string[] },
  lifetimes: Lifetimes,
): Promise<SessionState | undefined> {
  const [renewed] = await STEP_UP(db, { ...lifetimes, ...session });
  return renewed;
}

const STRENGTHEN = statement<never, { accountId: string; sessionId: string; amr: string[] }>(
  `UPDATE auth.sessions s SET amr = $amr WHERE ${IS_SESSION} AND ${IS_LIVE}`,
);

/** Adds what was proved when a factor was added: the next refresh of the session has it in its token. */
export async function strengthenSession(
  db: Queryable,
  session: { accountId: string; sessionId: string; amr: string[] },
): Promise<void> {
  await STRENGTHEN(db, session);
}

const WEAKEN = statement<never, { accountId: string }>(`
  UPDATE auth.sessions s SET amr = CASE WHEN 'pwd' = ANY (s.amr) THEN '{pwd}'::text[] ELSE '{}' END
  WHERE s.user_id = $accountId AND ${IS_LIVE} AND 'mfa' = ANY (s.amr)
    AND NOT EXISTS (SELECT FROM auth.users u WHERE u.id = $accountId AND ${HAS_FACTOR})`);

/**
 * Removes from the sessions of an account what its second factors have proved, when it has none left. Otherwise a thief who adds a
 * factor and removes it keeps `aal2`, also after the owner has added one. Runs after the removal, in its transaction.
 */
export async function weakenSessions(db: Queryable, accountId: string): Promise<void> {
  await WEAKEN(db, { accountId });
}
