import type { Queryable } from '../database/sql.js';
import { type Origin, originValue, recording } from '../events/audit-events.js';
import { IS_LIVE, type Lifetimes, type SessionState, state, tokenExpiry } from '../sessions/stored-sessions.js';
import { CREDENTIALS_COLUMNS, type StoredCredentials } from './stored-accounts.js';

const KEPT_FOR = `interval '24 hours'`;

/** Finds the account that was signed up by that name, in whatever case, with that key, and the session that began then. */
export async function findSignUp(
  db: Queryable,
  username: string,
  keyHash: Buffer,
): Promise<(StoredCredentials & { sessionId: string }) | undefined> {
  const { rows } = await db.query<StoredCredentials & { sessionId: string }>(
    `SELECT ${CREDENTIALS_COLUMNS}, k.session_id AS "sessionId"
     FROM auth.users u JOIN auth.sign_up_keys k ON k.user_id = u.id
     WHERE lower(u.username COLLATE "C") = lower($1 COLLATE "C")
       AND k.key_hash = $2 AND k.created_at > now() - ${KEPT_FOR}`,
    [username, keyHash],
  );
  return rows[0];
}

/** Finds a session for tokens like its first; `undefined` when it has been refreshed or is not alive. */
export async function resumeSession(
  db: Queryable,
  sessionId: string,
  { accessTokenTtlS }: Lifetimes,
  origin: Origin,
): Promise<SessionState | undefined> {
  const { rows } = await db.query<SessionState>(
    `WITH s AS (
       UPDATE auth.sessions s SET token_expires_at = greatest(s.token_expires_at, ${tokenExpiry('$2')})
       FROM auth.users u
       WHERE s.id = $1 AND s.generation = 0 AND ${IS_LIVE} AND u.id = s.user_id AND u.disabled_at IS NULL
       RETURNING s.*
     ), recorded AS (${recording('$3', `SELECT 'sign_up_repeated', s.user_id, s.id, NULL, NULL::jsonb FROM s`)})
     SELECT ${state('$2')} FROM s`,
    [sessionId, accessTokenTtlS, originValue(origin)],
  );
  return rows[0];
}

/** Deletes up to `batch` keys that do not count any more; the answer is how many. */
export async function sweepSignUpKeys(db: Queryable, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM auth.sign_up_keys WHERE user_id IN (
       SELECT user_id FROM auth.sign_up_keys WHERE created_at <= now() - ${KEPT_FOR} ORDER BY created_at LIMIT $1
     )`,
    [batch],
  );
  return rowCount ?? 0;
}
