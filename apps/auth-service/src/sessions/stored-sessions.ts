import { randomBytes } from 'node:crypto';
import type { Revocation, Session, Sessions, SignOutScope, User } from '@latchkey/user-schema';
import { uuidv7 } from 'uuidv7';
import { USER_COLUMNS } from '../accounts/stored-accounts.js';
import type { Config } from '../config/settings.js';
import { epoch, type Queryable, utc } from '../database/sql.js';
import { type Origin, originValue, recording } from '../events/audit-events.js';

/** How long things live, in seconds. */
export type Lifetimes = Pick<Config, 'accessTokenTtlS' | 'refreshTokenTtlS' | 'sessionMaxAgeS' | 'refreshGraceS'>;

/** What a session begins with. */
export type NewSession = { id: string; salt: Buffer };

export const newSalt = (): Buffer => randomBytes(16);
export const newSession = (): NewSession => ({ id: uuidv7(), salt: newSalt() });

/** A session as its next tokens need it. Times are in seconds since 1970, by the database's clock. */
export type SessionState = NewSession & {
  generation: number;
  refreshExpiresIn: number;
  issuedAt: number;
  tokenExpiresAt: number;
};

export const IS_LIVE = 's.revoked_at IS NULL AND s.expires_at > now()';
// Whoever takes several sessions takes them in this order, so that two of them never wait for each other.
const IN_ORDER = 'ORDER BY s.id FOR UPDATE';
/** When an access token that is issued now expires: by its lifetime, and not after its session. */
export const tokenExpiry = (tokenTtlS: string, sessionExpiry = 's.expires_at') =>
  `least(now() + make_interval(secs => ${tokenTtlS}::int), ${sessionExpiry})`;
/** The columns of {@link SessionState}. */
export const state = (tokenTtlS: string) => `s.id, s.generation, s.salt,
  ceil(extract(epoch FROM s.expires_at - now()))::int AS "refreshExpiresIn",
  ${epoch('now()')} AS "issuedAt", ${epoch(tokenExpiry(tokenTtlS))} AS "tokenExpiresAt"`;
const COLUMNS = 'id, user_id, salt, expires_at, ends_at, token_expires_at, user_agent, address';

/** The values of {@link COLUMNS} behind `user_id`, from six parameters of which the first is `$first`. */
const beginning = (first: number) => {
  const [salt, tokenS, idleS, maxAgeS, userAgent, address] = [0, 1, 2, 3, 4, 5].map(i => `$${first + i}`);
  const inSeconds = (...least: unknown[]) => `now() + make_interval(secs => least(${least.map(p => `${p}::int`)}))`;
  return `${salt}::bytea, ${inSeconds(idleS, maxAgeS)}, ${inSeconds(maxAgeS)}, ${inSeconds(tokenS, idleS, maxAgeS)},
    ${userAgent}::text, ${address}::inet`;
};
const beginningValues = ({ salt }: NewSession, lifetimes: Lifetimes, origin: Origin) => {
  const { accessTokenTtlS, refreshTokenTtlS, sessionMaxAgeS } = lifetimes;
  return [salt, accessTokenTtlS, refreshTokenTtlS, sessionMaxAgeS, origin.userAgent, origin.address];
};

/**
 * Adds an account together with its first session, and the key by which it is known when it comes again; `undefined` when
 * the username is taken, in whatever case.
 */
export async function insertUserWithSession(
  db: Queryable,
  user: { id: string; username: string; passwordHash: string; keyHash: Buffer | undefined },
  session: NewSession,
  lifetimes: Lifetimes,
  origin: Origin,
): Promise<(SessionState & Pick<User, 'createdAt'>) | undefined> {
  const { rows } = await db.query<SessionState & Pick<User, 'createdAt'>>(
    `WITH added AS (
       INSERT INTO auth.users (id, username, password_hash) VALUES ($1, $2, $3)
       ON CONFLICT (lower(username COLLATE "C")) DO NOTHING RETURNING id, created_at
     ), s AS (
       INSERT INTO auth.sessions (${COLUMNS}) SELECT $4, id, ${beginning(5)} FROM added RETURNING *
     ), remembered AS (
       INSERT INTO auth.sign_up_keys (user_id, key_hash, session_id)
       SELECT s.user_id, $12, s.id FROM s WHERE $12::bytea IS NOT NULL
     ), recorded AS (${recording('$11', `SELECT 'sign_up', s.user_id, s.id, NULL, NULL::jsonb FROM s`)})
     SELECT ${state('$6')}, ${utc('added.created_at')} AS "createdAt" FROM s, added`,
    [
      ...[user.id, user.username, user.passwordHash, session.id],
      ...beginningValues(session, lifetimes, origin),
      originValue(origin),
      user.keyHash,
    ],
  );
  return rows[0];
}

/** Why a session has ended for a new one of its account. */
export const TOO_MANY_SESSIONS = 'too_many_sessions';
// What one sign-in pays for an account that had more sessions than there may be, from before there was a limit.
const MAX_ENDED_AT_ONCE = 1000;

/**
 * Begins a session of an account, unless that was disabled or got another password since `passwordHash` was read, and ends
 * the oldest ones beyond `sessionsPerAccount`.
 *
 * The lock on the account makes its sign-ins take turns. The function looks again, behind the lock, so that it counts what
 * those before it have begun: the statement itself sees what was there when it began to wait.
 *
 * @returns the session, and those that have ended for it
 */
export async function insertSession(
  db: Queryable,
  user: { id: string; passwordHash: string },
  session: NewSession,
  { sessionsPerAccount, ...lifetimes }: Lifetimes & Pick<Config, 'sessionsPerAccount'>,
  origin: Origin,
): Promise<{ session: SessionState; ended: Revocation[] } | undefined> {
  const { rows } = await db.query<SessionState & { ended: Revocation[] }>(
    `WITH s AS (
       INSERT INTO auth.sessions (${COLUMNS}) SELECT $3, id, ${beginning(4)}
       FROM auth.users WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL FOR NO KEY UPDATE
       RETURNING *
     ), recorded AS (${recording('$10', `SELECT 'sign_in', s.user_id, s.id, NULL, NULL::jsonb FROM s`)}),
     ended AS (
       SELECT e.sid, ${epoch('e.token_expires_at')} AS exp
       FROM s, LATERAL auth.end_oldest_sessions(s.user_id, s.id, $11::int, ${MAX_ENDED_AT_ONCE}) AS e
     ), recorded_end AS (${recording(
       '$12',
       `SELECT 'session_ended', $1::uuid, CASE WHEN count(*) = 1 THEN (array_agg(ended.sid))[1] END, NULL,
          jsonb_build_object('reason', '${TOO_MANY_SESSIONS}', 'ended', count(*))
        FROM ended HAVING count(*) > 0`,
     )})
     SELECT ${state('$5')}, (SELECT coalesce(json_agg(ended), '[]') FROM ended) AS ended FROM s`,
    [
      ...[user.id, user.passwordHash, session.id],
      ...beginningValues(session, lifetimes, origin),
      ...[originValue(origin), sessionsPerAccount, originValue(origin)],
    ],
  );
  return splitEnded(rows[0]);
}

/** Takes the row of a statement that ends sessions for the sake of one apart. */
function splitEnded(row: (SessionState & { ended: Revocation[] }) | undefined) {
  if (!row) return undefined;
  const { ended, ...session } = row;
  return { session, ended };
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

/**
 * Lists live sessions of an account, the newest first: a page of `limit`, of those begun before `after`. The account is
 * given as a range for the reason that `auth.end_oldest_sessions` tells.
 *
 * @returns the page, and the `after` of the next when there is one
 */
export async function listSessions(
  db: Queryable,
  { userId, sessionId }: { userId: string; sessionId: string },
  { after, limit }: { after: string | undefined; limit: number },
): Promise<Sessions> {
  const { rows } = await db.query<Session>(
    `SELECT s.id, s.user_agent AS "userAgent", host(s.address) AS address, s.id = $2 AS current,
       ${utc('s.created_at')} AS "createdAt", ${utc('s.rotated_at')} AS "lastUsedAt"
     FROM auth.sessions s
     WHERE s.user_id BETWEEN $1 AND $1 AND ${IS_LIVE} ${after === undefined ? '' : 'AND s.id < $4'}
     ORDER BY s.user_id DESC, s.id DESC LIMIT $3`,
    // One more, which tells whether there is another page.
    [userId, sessionId, limit + 1, ...(after === undefined ? [] : [after])],
  );
  const sessions = rows.slice(0, limit);
  const last = sessions.at(-1);
  return { sessions, ...(last && rows.length > limit && { next: last.id }) };
}

// The members of Revocation, of a session that has just ended.
const REVOCATION = `s.id AS sid, ${epoch('s.token_expires_at')} AS exp`;

/** Ends one session of an account; `undefined` when it has no such live session. */
export async function endSession(
  db: Queryable,
  session: { userId: string; sessionId: string; clientId?: string },
  origin: Origin,
): Promise<Revocation | undefined> {
  const { rows } = await db.query<Revocation>(
    `WITH s AS (
       UPDATE auth.sessions s SET revoked_at = now() WHERE s.id = $2 AND s.user_id = $1 AND ${IS_LIVE} RETURNING *
     ), recorded AS (${recording('$4', `SELECT 'session_ended', s.user_id, s.id, $3::text, NULL::jsonb FROM s`)})
     SELECT ${REVOCATION} FROM s`,
    [session.userId, session.sessionId, session.clientId, originValue(origin)],
  );
  return rows[0];
}

/** Ends the sessions of an account that the scope names. */
export async function endSessions(
  db: Queryable,
  session: { userId: string; sessionId: string },
  scope: SignOutScope,
  origin: Origin,
): Promise<Revocation[]> {
  const { rows } = await db.query<Revocation>(
    `WITH chosen AS (
       SELECT s.id FROM auth.sessions s
       WHERE s.user_id = $1 AND ${IS_LIVE} AND ($3::text = 'all' OR (s.id = $2) = ($3 = 'current'))
       ${IN_ORDER}
     ), s AS (
       UPDATE auth.sessions s SET revoked_at = now() FROM chosen WHERE s.id = chosen.id AND ${IS_LIVE} RETURNING s.*
     ), recorded AS (${recording(
       '$4',
       `SELECT 'sign_out', $1::uuid, $2::uuid, NULL, jsonb_build_object('scope', $3::text, 'ended', count(*)) FROM s
        HAVING count(*) > 0`,
     )})
     SELECT ${REVOCATION} FROM s`,
    [session.userId, session.sessionId, scope, originValue(origin)],
  );
  return rows;
}

/**
 * Changes a password, ends every other session and gives the current one a new salt, so that none of its refresh tokens
 * goes on working. Runs in a transaction: the second statement must see the sessions that began, under the old password,
 * while the first waited for the account's row.
 *
 * @returns `undefined` when the password or the session has changed meanwhile
 */
export async function changePassword(
  db: Queryable,
  change: { userId: string; sessionId: string; from: string; to: string; salt: Buffer },
  { accessTokenTtlS, refreshTokenTtlS }: Lifetimes,
  origin: Origin,
): Promise<{ session: SessionState; ended: Revocation[] } | undefined> {
  const { rowCount } = await db.query(
    `UPDATE auth.users SET password_hash = $4 WHERE id = $1 AND password_hash = $3
       AND EXISTS (SELECT FROM auth.sessions s WHERE s.id = $2 AND ${IS_LIVE})`,
    [change.userId, change.sessionId, change.from, change.to],
  );
  if (rowCount !== 1) return undefined;
  await db.query(`SELECT FROM auth.sessions s WHERE s.user_id = $1 AND ${IS_LIVE} ${IN_ORDER}`, [change.userId]);
  const { rows } = await db.query<SessionState & { ended: Revocation[] }>(
    `WITH others AS (
       UPDATE auth.sessions s SET revoked_at = now() WHERE s.user_id = $1 AND s.id <> $2 AND ${IS_LIVE}
       RETURNING ${REVOCATION}
     ), s AS (
       UPDATE auth.sessions s SET salt = $3, generation = s.generation + 1, rotated_at = now(),
         expires_at = least(now() + make_interval(secs => $5::int), s.ends_at),
         token_expires_at = greatest(s.token_expires_at, now() + make_interval(secs => least($4::int, $5::int)))
       WHERE s.id = $2 AND ${IS_LIVE} RETURNING *
     ), recorded AS (${recording(
       '$6',
       `SELECT 'password_changed', s.user_id, s.id, NULL, jsonb_build_object('ended', (SELECT count(*) FROM others)) FROM s`,
     )})
     SELECT ${state('$4')}, (SELECT coalesce(json_agg(others), '[]') FROM others) AS ended FROM s`,
    [change.userId, change.sessionId, change.salt, accessTokenTtlS, refreshTokenTtlS, originValue(origin)],
  );
  return splitEnded(rows[0]);
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
