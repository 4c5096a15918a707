import type { User } from '@latchkey/user-schema';
import { epoch, type Queryable, utc } from '../database/sql.js';
import { type Origin, originValue, recording } from '../events/audit-events.js';
import { IS_LIVE, type Lifetimes, type SessionState, state, tokenExpiry } from './stored-sessions.js';

/** A refresh token, with what makes its MAC genuine when hashed together with the salt of the session's row. */
export type PresentedToken = { sessionId: string; generation: number; mac: Buffer; seeds: Buffer[] };

/** What presenting a refresh token led to. */
export type Refreshed = SessionState &
  Omit<User, 'id'> & { userId: string; stolen: boolean; advanced: boolean; lastTokenExpiresAt: number };

const IS_CURRENT = 's.generation = $2';
const IS_IN_GRACE = 's.generation = $2 + 1 AND s.rotated_at > now() - make_interval(secs => $7::int)';
const NEXT_EXPIRY = `CASE WHEN ${IS_CURRENT} THEN least(now() + make_interval(secs => $6::int), s.ends_at) ELSE s.expires_at END`;
const IS_GENUINE = 'EXISTS (SELECT FROM unnest($3::bytea[]) AS seed WHERE sha256(seed || s.salt) = $4)';

// Asking again within the grace period is no event: whoever holds a token could fill the table with that.
const ADVANCED = 's.rotated_at = now()';

/**
 * The statement behind {@link refreshSession}. It never lowers `token_expires_at`: a token with a longer life may be out
 * there, from before that setting was lowered.
 */
export const REFRESH = `
  WITH s AS (
    UPDATE auth.sessions s SET
      generation = CASE WHEN ${IS_CURRENT} THEN s.generation + 1 ELSE s.generation END,
      rotated_at = CASE WHEN ${IS_CURRENT} THEN now() ELSE s.rotated_at END,
      expires_at = ${NEXT_EXPIRY},
      token_expires_at = CASE
        WHEN ${IS_CURRENT} OR ${IS_IN_GRACE} THEN greatest(s.token_expires_at, ${tokenExpiry('$5', NEXT_EXPIRY)})
        ELSE s.token_expires_at END,
      revoked_at = CASE WHEN ${IS_CURRENT} OR ${IS_IN_GRACE} THEN NULL ELSE now() END
    FROM auth.users u
    WHERE s.id = $1 AND s.generation >= $2 AND ${IS_LIVE} AND u.id = s.user_id AND u.disabled_at IS NULL AND ${IS_GENUINE}
    RETURNING s.*, u.username, u.created_at AS user_created_at
  ), recorded AS (${recording(
    '$8',
    `SELECT CASE WHEN s.revoked_at IS NULL THEN 'refresh' ELSE 'refresh_token_reuse' END, s.user_id, s.id, NULL, NULL::jsonb
     FROM s WHERE ${ADVANCED} OR s.revoked_at IS NOT NULL`,
  )})
  SELECT ${state('$5')}, s.revoked_at IS NOT NULL AS stolen, ${ADVANCED} AS advanced, s.user_id AS "userId", s.username,
    ${utc('s.user_created_at')} AS "createdAt", ${epoch('s.token_expires_at')} AS "lastTokenExpiresAt"
  FROM s`;

/**
 * Uses a refresh token, in one statement and by the database's clock:
 * - the current generation advances;
 * - its parent, within the grace period, gets the same successor again;
 * - anything older is theft and ends the session.
 *
 * On a race PostgreSQL waits for the other statement and judges by what that left.
 *
 * @returns `undefined` when the token is not genuine, or its session or account is not alive
 */
export async function refreshSession(
  db: Queryable,
  token: PresentedToken,
  { accessTokenTtlS, refreshTokenTtlS, refreshGraceS }: Lifetimes,
  origin: Origin,
): Promise<Refreshed | undefined> {
  const { rows } = await db.query<Refreshed>(REFRESH, [
    ...[token.sessionId, token.generation, token.seeds, token.mac],
    ...[accessTokenTtlS, refreshTokenTtlS, refreshGraceS, originValue(origin)],
  ]);
  return rows[0];
}

/** What a refresh token stands for; times are in seconds since 1970. */
export type RefreshGrant = Pick<User, 'id' | 'username'> & { issuedAt: number; expiresAt: number };

/** Finds what a refresh token stands for that could be used now; `undefined` when it could not. */
export async function findRefreshGrant(
  db: Queryable,
  token: PresentedToken,
  { refreshGraceS }: Lifetimes,
): Promise<RefreshGrant | undefined> {
  const { rows } = await db.query<RefreshGrant>(
    `SELECT u.id, u.username, ${epoch('s.rotated_at')} AS "issuedAt",
       ${epoch('s.expires_at')} AS "expiresAt"
     FROM auth.sessions s JOIN auth.users u ON u.id = s.user_id
     WHERE s.id = $1 AND ${IS_LIVE} AND u.disabled_at IS NULL AND ${IS_GENUINE} AND (${IS_CURRENT} OR
       s.generation = $2 + 1 AND s.rotated_at > now() - make_interval(secs => $5::int))`,
    [token.sessionId, token.generation, token.seeds, token.mac, refreshGraceS],
  );
  return rows[0];
}

/** Finds the session that a genuine refresh token belongs to, however old the token is. */
export async function findSessionOfToken(
  db: Queryable,
  token: PresentedToken,
): Promise<{ userId: string; sessionId: string } | undefined> {
  const { rows } = await db.query<{ userId: string; sessionId: string }>(
    `SELECT s.user_id AS "userId", s.id AS "sessionId" FROM auth.sessions s
     WHERE s.id = $1 AND s.generation >= $2 AND ${IS_GENUINE}`,
    [token.sessionId, token.generation, token.seeds, token.mac],
  );
  return rows[0];
}
