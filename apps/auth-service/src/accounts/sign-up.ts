import type { Queryable } from '@latchkey/service-kit/database';
import type { User } from '@latchkey/user-schema';
import { uuidv7 } from 'uuidv7';
import { CLAIMED, foldName, NAMED } from '../credentials/identifiers.js';
import {
  HASH_COLUMNS,
  HASH_VALUES,
  type HashValues,
  hashValues,
  PASSWORD,
  type StoredPassword,
} from '../credentials/password/stored-passwords.js';
import { statement } from '../database/sql.js';
import { byAccount, EVENTS, type Origin, originValue, type RecordedEvent, recorded } from '../events/recorder.js';
import { AMR, HAS_FACTOR } from '../sessions/factors.js';
import { IS_LIVE, IS_SESSION, type Lifetimes, type SessionState, STATE, TOKEN_EXPIRY } from '../sessions/session.js';
import { type SessionLimits, type Started, startSession } from '../sessions/start.js';
import { ACCOUNT } from '../tokens/account.js';

/** What an account is made of; the key is that of its `Idempotency-Key`. */
export type NewAccount = { username: string; passwordHash: string; keyHash: Buffer | undefined };

/** The `credential_version` of a new account. */
export const FIRST_VERSION = 1;
const KEPT_FOR = `interval '24 hours'`;

type Row = HashValues & { id: string; name: string; username: string };

const INSERT = statement<User, Row>(`
  WITH ${CLAIMED}, added AS (
    INSERT INTO auth.users AS u (id, username, ${HASH_COLUMNS}) SELECT user_id, $username, ${HASH_VALUES} FROM claimed RETURNING u.*
  )
  SELECT ${ACCOUNT} FROM added u`);

const ADD = statement<{ events: RecordedEvent[] }, Row & { email: string; origin: string }>(`
  WITH ${CLAIMED}, added AS (
    INSERT INTO auth.users AS u (id, username, email, ${HASH_COLUMNS})
    SELECT user_id, $username, $email, ${HASH_VALUES} FROM claimed RETURNING u.id
  ), ${recorded({ event: 'sign_up', from: 'added', account: 'added.id', actor: byAccount('added.id') })}
  SELECT ${EVENTS} FROM added`);

/**
 * Adds an account without a session, with an address that it has proved.
 *
 * @returns `undefined` when the username is taken, in whatever case
 */
export async function addAccount(
  db: Queryable,
  { id, username, email, passwordHash }: { id: string; username: string; email: string; passwordHash: string },
  origin: Origin,
): Promise<RecordedEvent[] | undefined> {
  const values = { id, name: foldName(username), username, email, ...hashValues(passwordHash) };
  const [added] = await ADD(db, { ...values, origin: originValue(origin) });
  return added?.events;
}

const REMEMBER = statement<never, { accountId: string; keyHash: Buffer; sessionId: string }>(
  'INSERT INTO auth.sign_up_keys (user_id, key_hash, session_id) VALUES ($accountId, $keyHash, $sessionId)',
);

/**
 * Adds an account with its first session, and the key by which it is known when it comes again. Runs in a transaction.
 *
 * @returns `undefined` when the username is taken, in whatever case
 */
export async function signUp(
  db: Queryable,
  { username, passwordHash, keyHash }: NewAccount,
  limits: SessionLimits,
  origin: Origin,
): Promise<(Started & { account: User }) | undefined> {
  const [account] = await INSERT(db, {
    id: uuidv7(),
    name: foldName(username),
    username,
    ...hashValues(passwordHash),
  });
  if (!account) return undefined;
  const proof = { accountId: account.id, credentialVersion: FIRST_VERSION, amr: AMR.password };
  const started = (await startSession(db, proof, 'sign_up', limits, origin)) as Started;
  if (keyHash) await REMEMBER(db, { accountId: account.id, keyHash, sessionId: started.session.id });
  return { ...started, account };
}

const FIND = statement<StoredPassword & { sessionId: string }, { name: string; keyHash: Buffer }>(`
  SELECT ${PASSWORD}, k.session_id AS "sessionId"
  FROM auth.users u JOIN auth.sign_up_keys k ON k.user_id = u.id
  WHERE u.id = ${NAMED} AND k.key_hash = $keyHash AND k.created_at > now() - ${KEPT_FOR}`);

/** Finds the account that was signed up by that name, in whatever case, with that key, and the session that began then. */
export async function findSignUp(
  db: Queryable,
  username: string,
  keyHash: Buffer,
): Promise<(StoredPassword & { sessionId: string }) | undefined> {
  const [found] = await FIND(db, { name: foldName(username), keyHash });
  return found;
}

const RESUME = statement<SessionState & { events: RecordedEvent[] }, Record<string, unknown>>(`
  WITH s AS (
    UPDATE auth.sessions s SET token_expires_at = greatest(s.token_expires_at, ${TOKEN_EXPIRY})
    FROM auth.users u
    WHERE ${IS_SESSION} AND s.generation = 0 AND ${IS_LIVE} AND u.id = s.user_id AND u.disabled_at IS NULL
      AND NOT ${HAS_FACTOR} AND NOT 'mfa' = ANY (s.amr)
    RETURNING s.*
  ), ${recorded({
    event: 'sign_up_repeated',
    from: 's',
    account: 's.user_id',
    session: 's.id',
    actor: byAccount('s.user_id'),
  })}
  SELECT ${STATE}, ${EVENTS} FROM s`);

/**
 * Resumes a session for tokens like its first; `undefined` when it has been refreshed or is not alive, or when its account has
 * a second factor, which a sign-in must prove, or has had one in this session, which the password does not prove.
 */
export async function resumeSession(
  db: Queryable,
  { accountId, sessionId }: { accountId: string; sessionId: string },
  { accessTokenTtlS }: Pick<Lifetimes, 'accessTokenTtlS'>,
  origin: Origin,
): Promise<{ session: SessionState; events: RecordedEvent[] } | undefined> {
  const [row] = await RESUME(db, { accountId, sessionId, accessTokenTtlS, origin: originValue(origin) });
  if (!row) return undefined;
  const { events, ...session } = row;
  return { session, events };
}

/** Deletes up to `batch` keys that do not count any more; returns how many. */
export async function deleteOldKeys(db: Queryable, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM auth.sign_up_keys WHERE user_id IN (
       SELECT user_id FROM auth.sign_up_keys WHERE created_at <= now() - ${KEPT_FOR} ORDER BY created_at LIMIT $1
     )`,
    [batch],
  );
  return rowCount ?? 0;
}
