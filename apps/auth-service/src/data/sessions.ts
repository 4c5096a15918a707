import type { Session, SignOutScope, User } from '@latchkey/user-schema';
import type { Queryable } from './queryable.js';
import { USER_COLUMNS } from './users.js';

/** A session that begins. Its limits are in seconds. */
export type NewSession = {
  id: string;
  salt: Buffer;
  idleS: number;
  maxAgeS: number;
  userAgent: string | null;
  address: string | null;
};

/** A session as its next refresh token needs it. */
export type SessionState = { id: string; generation: number; salt: Buffer; refreshExpiresIn: number };

/** What presenting a refresh token led to. */
export type Refreshed = SessionState & Omit<User, 'id'> & { userId: string; stolen: boolean };

const IS_LIVE = 's.revoked_at IS NULL AND s.expires_at > now()';
const STATE = 's.id, s.generation, s.salt, ceil(extract(epoch FROM s.expires_at - now()))::int AS "refreshExpiresIn"';
const UTC = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`;

/** Adds an account together with its first session; `undefined` when the username is taken, in whatever case. */
export async function insertUserWithSession(
  db: Queryable,
  user: { id: string; username: string; passwordHash: string },
  session: NewSession,
): Promise<(SessionState & Pick<User, 'createdAt'>) | undefined> {
  const { rows } = await db.query<SessionState & Pick<User, 'createdAt'>>(
    `WITH added AS (
       INSERT INTO auth.users (id, username, password_hash) VALUES ($1, $2, $3)
       ON CONFLICT (lower(username COLLATE "C")) DO NOTHING RETURNING id, created_at
     )
     INSERT INTO auth.sessions AS s (id, user_id, salt, expires_at, ends_at, user_agent, address)
     SELECT $4, id, $5, now() + make_interval(secs => least($6::int, $7::int)), now() + make_interval(secs => $7::int), $8, $9
     FROM added
     RETURNING ${STATE}, (SELECT to_char(created_at AT TIME ZONE 'UTC', ${UTC}) FROM added) AS "createdAt"`,
    [user.id, user.username, user.passwordHash, ...values(session)],
  );
  return rows[0];
}

/** Begins a session of an account, unless that was disabled or got another password since `passwordHash` was read. */
export async function insertSession(
  db: Queryable,
  userId: string,
  passwordHash: string,
  session: NewSession,
): Promise<SessionState | undefined> {
  const { rows } = await db.query<SessionState>(
    `INSERT INTO auth.sessions AS s (id, user_id, salt, expires_at, ends_at, user_agent, address)
     SELECT $3, id, $4, now() + make_interval(secs => least($5::int, $6::int)), now() + make_interval(secs => $6::int), $7, $8
     FROM auth.users WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL FOR SHARE
     RETURNING ${STATE}`,
    [userId, passwordHash, ...values(session)],
  );
  return rows[0];
}

/**
 * Uses a refresh token, in one statement and by the database's clock:
 * - the current generation advances;
 * - its parent, within the grace period, changes nothing and so gets the same successor again;
 * - anything older is theft and ends the session.
 *
 * On a race PostgreSQL waits for the other statement and judges by what that left.
 *
 * @param seeds what, hashed with the row's salt, is the genuine MAC
 * @returns `undefined` when the token is not genuine, or its session or account is not alive
 */
export async function refreshSession(
  db: Queryable,
  token: { sessionId: string; generation: number; mac: Buffer; seeds: Buffer[] },
  limits: { idleS: number; graceS: number },
): Promise<Refreshed | undefined> {
  const { rows } = await db.query<Refreshed>(
    `UPDATE auth.sessions s SET
       generation = CASE WHEN s.generation = $2 THEN s.generation + 1 ELSE s.generation END,
       rotated_at = CASE WHEN s.generation = $2 THEN now() ELSE s.rotated_at END,
       expires_at = CASE WHEN s.generation = $2 THEN least(now() + make_interval(secs => $5::int), s.ends_at) ELSE s.expires_at END,
       revoked_at = CASE
         WHEN s.generation = $2 THEN NULL
         WHEN s.generation = $2 + 1 AND s.rotated_at > now() - make_interval(secs => $6::int) THEN NULL
         ELSE now() END
     FROM auth.users u
     WHERE s.id = $1 AND s.generation >= $2 AND ${IS_LIVE} AND u.id = s.user_id AND u.disabled_at IS NULL
       AND EXISTS (SELECT FROM unnest($3::bytea[]) AS seed WHERE sha256(seed || s.salt) = $4)
     RETURNING ${STATE}, s.revoked_at IS NOT NULL AS stolen, u.id AS "userId", u.username,
       to_char(u.created_at AT TIME ZONE 'UTC', ${UTC}) AS "createdAt"`,
    [token.sessionId, token.generation, token.seeds, token.mac, limits.idleS, limits.graceS],
  );
  return rows[0];
}

/** Finds the account of a session, while both are alive. */
export async function findSessionUser(db: Queryable, sessionId: string): Promise<User | undefined> {
  const { rows } = await db.query<User>(
    `SELECT ${USER_COLUMNS} FROM auth.users
     WHERE id = (SELECT user_id FROM auth.sessions s WHERE s.id = $1 AND ${IS_LIVE}) AND disabled_at IS NULL`,
    [sessionId],
  );
  return rows[0];
}

/** Lists the live sessions of an account, the newest first. */
export async function listSessions(db: Queryable, userId: string, currentId: string): Promise<Session[]> {
  const { rows } = await db.query<Session>(
    `SELECT s.id, s.user_agent AS "userAgent", host(s.address) AS address, s.id = $2 AS current,
       to_char(s.created_at AT TIME ZONE 'UTC', ${UTC}) AS "createdAt",
       to_char(s.rotated_at AT TIME ZONE 'UTC', ${UTC}) AS "lastUsedAt"
     FROM auth.sessions s WHERE s.user_id = $1 AND ${IS_LIVE} ORDER BY s.id DESC`,
    [userId, currentId],
  );
  return rows;
}

/** Ends one session of an account; `false` when it has no such live session. */
export async function endSession(db: Queryable, userId: string, sessionId: string): Promise<boolean> {
  const { rowCount } = await db.query(
    `UPDATE auth.sessions s SET revoked_at = now() WHERE s.id = $2 AND s.user_id = $1 AND ${IS_LIVE}`,
    [userId, sessionId],
  );
  return rowCount === 1;
}

/** Ends the sessions of an account that the scope names. */
export async function endSessions(
  db: Queryable,
  userId: string,
  currentId: string,
  scope: SignOutScope,
): Promise<void> {
  await db.query(
    `UPDATE auth.sessions s SET revoked_at = now()
     WHERE s.user_id = $1 AND ${IS_LIVE} AND ($3 = 'all' OR (s.id = $2) = ($3 = 'current'))`,
    [userId, currentId, scope],
  );
}

/**
 * Changes a password, ends every other session and advances the current one. Runs in a transaction: the second statement
 * must see the sessions that began, under the old password, while the first waited for the account's row.
 *
 * @returns `undefined` when the password or the session has changed meanwhile
 */
export async function changePassword(
  db: Queryable,
  change: { userId: string; sessionId: string; from: string; to: string; idleS: number },
): Promise<SessionState | undefined> {
  const { rowCount } = await db.query(
    `UPDATE auth.users SET password_hash = $4 WHERE id = $1 AND password_hash = $3
       AND EXISTS (SELECT FROM auth.sessions s WHERE s.id = $2 AND ${IS_LIVE})`,
    [change.userId, change.sessionId, change.from, change.to],
  );
  if (rowCount !== 1) return undefined;
  const { rows } = await db.query<SessionState>(
    `UPDATE auth.sessions s SET
       generation = CASE WHEN s.id = $2 THEN s.generation + 1 ELSE s.generation END,
       rotated_at = CASE WHEN s.id = $2 THEN now() ELSE s.rotated_at END,
       expires_at = CASE WHEN s.id = $2 THEN least(now() + make_interval(secs => $3::int), s.ends_at) ELSE s.expires_at END,
       revoked_at = CASE WHEN s.id = $2 THEN NULL ELSE now() END
     WHERE s.user_id = $1 AND ${IS_LIVE} RETURNING ${STATE}`,
    [change.userId, change.sessionId, change.idleS],
  );
  return rows.find(({ id }) => id === change.sessionId);
}

/**
 * Deletes sessions that ended a while ago, among the next `batch` sessions behind `after`.
 *
 * @returns the last session looked at, or `undefined` at the end of the table
 */
export async function sweepSessions(db: Queryable, after: string, batch: number): Promise<string | undefined> {
  const { rows } = await db.query<{ last: string | null }>(
    `WITH seen AS (SELECT s.id, s.expires_at, s.revoked_at FROM auth.sessions s WHERE s.id > $1 ORDER BY s.id LIMIT $2),
     swept AS (
       DELETE FROM auth.sessions WHERE id IN (
         SELECT id FROM seen WHERE least(expires_at, revoked_at) < now() - interval '1 day'
       )
     )
     SELECT (SELECT id FROM seen ORDER BY id DESC LIMIT 1) AS last`,
    [after, batch],
  );
  return rows[0]?.last ?? undefined;
}

function values({ id, salt, idleS, maxAgeS, userAgent, address }: NewSession): unknown[] {
  return [id, salt, idleS, maxAgeS, userAgent, address];
}
