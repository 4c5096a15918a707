import type { Queryable } from '@latchkey/service-kit/database';
import type { Revocation, User } from '@latchkey/user-schema';
import type { QueryResultRow } from 'pg';
import { uuidv7 } from 'uuidv7';
import { epoch, type Statement, statement, utc } from '../database/sql.js';
import { byAccount, EVENTS, type Origin, originValue, type RecordedEvent, recorded } from '../events/recorder.js';
import { drafted, REVOCATION } from '../revocations/drafts.js';
import type { RefreshToken } from './refresh-token.js';
import { IS_LIVE, IS_SESSION, type Lifetimes, type SessionState, STATE } from './session.js';

/** A session after a refresh, and the recorded events. `stolen` is set when the token was stolen and the session has ended. */
export type Refreshed = { session: SessionState; account: User; events: RecordedEvent[]; stolen?: Revocation };

const IS_CURRENT = 's.generation = $generation';
const GRACE_START = 'now() - make_interval(secs => $refreshGraceS::int)';
const isInGrace = (graceStart: string) => `s.generation = $generation + 1 AND s.rotated_at > ${graceStart}`;
const IS_GENUINE = 'EXISTS (SELECT FROM unnest($seeds::bytea[]) AS seed WHERE sha256(seed || s.salt) = $mac)';
const IS_STOLEN = 's.revoked_at IS NOT NULL';

// The times of an update, beside it: in a database that is distributed it has no function of the time in its CASE.
const CLOCK = `(SELECT now() AS now, ${GRACE_START} AS grace_start, now() - interval '1 minute' AS minute_ago,
  now() + make_interval(secs => $refreshTokenTtlS::int) AS idle_end,
  now() + make_interval(secs => $accessTokenTtlS::int) AS token_end) AS clock`;
const IS_VALID = `${IS_CURRENT} OR ${isInGrace('clock.grace_start')}`;
const NEXT_EXPIRY = `CASE WHEN ${IS_CURRENT} THEN least(clock.idle_end, s.ends_at) ELSE s.expires_at END`;
// Once a minute: otherwise a caller who holds a token could fill the audit trail, with each new token or by repeating one in
// its grace period.
const IS_NEWS = `${IS_CURRENT} AND coalesce(s.refresh_recorded_at < clock.minute_ago, true)`;

/** A statement about the session `s` of a refresh token. */
function byToken<Row extends QueryResultRow, Values extends object = Record<never, never>>(
  text: (isItsSession: string) => string,
): Statement<Row, RefreshToken & Values> {
  const byAccount = statement<Row, RefreshToken & Values>(text(IS_SESSION));
  const bySession = statement<Row, RefreshToken & Values>(text('s.id = $sessionId'));
  return (db, values) => (values.accountId === undefined ? bySession : byAccount)(db, values);
}

type RefreshRow = SessionState & {
  userId: string;
  username: string;
  email: string | null;
  createdAt: string;
  stolen: Revocation | null;
  events: RecordedEvent[];
};

// `token_expires_at` never decreases: a token with a longer life may exist, from before ACCESS_TOKEN_TTL_S was lowered.
const REFRESH = byToken<RefreshRow, Lifetimes & { origin: string; draft: string }>(
  isItsSession => `
  WITH s AS (
    UPDATE auth.sessions s SET
      generation = CASE WHEN ${IS_CURRENT} THEN s.generation + 1 ELSE s.generation END,
      rotated_at = CASE WHEN ${IS_CURRENT} THEN clock.now ELSE s.rotated_at END,
      expires_at = ${NEXT_EXPIRY},
      token_expires_at = CASE WHEN ${IS_VALID} THEN greatest(s.token_expires_at, least(clock.token_end, ${NEXT_EXPIRY}))
        ELSE s.token_expires_at END,
      revoked_at = CASE WHEN ${IS_VALID} THEN NULL ELSE clock.now END,
      draft = CASE WHEN ${IS_VALID} THEN NULL ELSE $draft::uuid END,
      refresh_recorded_at = CASE WHEN ${IS_NEWS} THEN clock.now ELSE s.refresh_recorded_at END
    FROM auth.users u, ${CLOCK}
    WHERE ${isItsSession} AND s.generation >= $generation AND ${IS_LIVE} AND u.id = s.user_id AND u.disabled_at IS NULL
      AND ${IS_GENUINE}
    RETURNING s.*, u.username, u.email, u.created_at AS user_created_at
  ), drafted AS (${drafted(`s WHERE ${IS_STOLEN}`)}
  ), ${recorded(
    {
      event: 'refresh',
      from: 's WHERE s.refresh_recorded_at = now()',
      account: 's.user_id',
      session: 's.id',
      actor: byAccount('s.user_id'),
    },
    {
      event: 'refresh_token_reuse',
      from: `s WHERE ${IS_STOLEN}`,
      account: 's.user_id',
      session: 's.id',
      notice: `s WHERE ${IS_STOLEN}`,
    },
  )}
  SELECT ${STATE}, s.user_id AS "userId", s.username, s.email, ${utc('s.user_created_at')} AS "createdAt", ${EVENTS},
    CASE WHEN ${IS_STOLEN} THEN ${REVOCATION} END AS stolen
  FROM s`,
);

/**
 * Refreshes a session with a token, in one statement and by the database's clock:
 * - a token of the current generation starts the next one;
 * - a token of the generation before, within the grace period, gets the same successor again;
 * - an older token was stolen, and ends the session.
 *
 * Of two concurrent statements, the second waits for the first and sees its result.
 *
 * @returns `undefined` when the token is not genuine, or its session or account is not live
 */
export async function refreshSession(
  db: Queryable,
  token: RefreshToken,
  lifetimes: Lifetimes,
  origin: Origin,
): Promise<Refreshed | undefined> {
  const [row] = await REFRESH(db, { ...token, ...lifetimes, draft: uuidv7(), origin: originValue(origin) });
  if (!row) return undefined;
  const { userId, username, email, createdAt, stolen, events, ...session } = row;
  return { session, account: { id: userId, username, email, createdAt }, events, ...(stolen && { stolen }) };
}

/** The account and the times of a refresh token, in seconds since 1970. */
export type RefreshGrant = { id: string; username: string; issuedAt: number; expiresAt: number };

const FIND_GRANT = byToken<RefreshGrant, Pick<Lifetimes, 'refreshGraceS'>>(
  isItsSession => `
  SELECT u.id, u.username, ${epoch('s.rotated_at')} AS "issuedAt", ${epoch('s.expires_at')} AS "expiresAt"
  FROM auth.sessions s JOIN auth.users u ON u.id = s.user_id
  WHERE ${isItsSession} AND ${IS_LIVE} AND u.disabled_at IS NULL AND ${IS_GENUINE} AND (${IS_CURRENT} OR ${isInGrace(GRACE_START)})`,
);

/** Finds the grant of a refresh token; `undefined` when the token could not be used for a refresh. */
export async function findRefreshGrant(
  db: Queryable,
  token: RefreshToken,
  { refreshGraceS }: Pick<Lifetimes, 'refreshGraceS'>,
): Promise<RefreshGrant | undefined> {
  const [grant] = await FIND_GRANT(db, { ...token, refreshGraceS });
  return grant;
}

const FIND_SESSION = byToken<{ accountId: string; sessionId: string }>(
  isItsSession => `
  SELECT s.user_id AS "accountId", s.id AS "sessionId" FROM auth.sessions s
  WHERE ${isItsSession} AND s.generation >= $generation AND ${IS_GENUINE}`,
);

/** Finds the session that a genuine refresh token belongs to, however old the token is. */
export async function findSessionOfToken(
  db: Queryable,
  token: RefreshToken,
): Promise<{ accountId: string; sessionId: string } | undefined> {
  const [session] = await FIND_SESSION(db, token);
  return session;
}
