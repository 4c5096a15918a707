import type { Queryable } from '@latchkey/service-kit/database';
import type { Revocation, SignOutScope } from '@latchkey/user-schema';
import { uuidv7 } from 'uuidv7';
import { statement } from '../database/sql.js';
import { byAccount, EVENTS, type Origin, originValue, type RecordedEvent, recorded } from '../events/recorder.js';
import { drafted, REVOCATION } from '../revocations/drafts.js';
import { IS_LIVE } from './session.js';

/** Sessions of an account: one (`current`), all others, or all. */
export type Selection =
  | { accountId: string; sessionId: string; scope: SignOutScope }
  | { accountId: string; sessionId?: never; scope: 'all' };

/** Why sessions end, which is also the name of the event. */
export type EndReason =
  | 'sign_out'
  | 'session_ended'
  | 'password_changed'
  | 'password_reset'
  | 'factors_reset'
  | 'user_disabled'
  | 'user_deleted';

/** Sessions that have ended, and what was recorded. */
export type Ended = { ended: Revocation[]; events: RecordedEvent[] };

const HAS_TOTP = 'EXISTS (SELECT FROM auth.totp f WHERE f.account_id = $accountId AND f.confirmed_at IS NOT NULL)';
const ONCE = '(VALUES (1)) AS once';

/** The event of each reason. A change of the account is recorded also when it ends no session. */
const RECORDINGS: Record<EndReason, string> = {
  sign_out: recorded({
    event: 'sign_out',
    from: 's HAVING count(*) > 0',
    account: '$accountId',
    session: '$sessionId',
    details: `jsonb_build_object('scope', $scope::text, 'ended', count(*))`,
  }),
  session_ended: recorded({
    event: 'session_ended',
    from: 's',
    account: 's.user_id',
    session: 's.id',
    client: '$clientId',
  }),
  password_changed: recorded({
    event: 'password_changed',
    from: 's',
    account: '$accountId',
    session: '$sessionId',
    details: `jsonb_build_object('ended', count(*))`,
    notice: ONCE,
  }),
  password_reset: recorded({
    event: 'password_reset',
    from: 's',
    account: '$accountId',
    details: `jsonb_build_object('ended', count(*))`,
    actor: byAccount('$accountId'),
    notice: ONCE,
  }),
  factors_reset: recorded({
    event: 'factors_reset',
    from: 's',
    account: '$accountId',
    details: `jsonb_build_object('totp', ${HAS_TOTP},
      'passkeys', (SELECT count(*) FROM auth.passkeys p WHERE p.account_id = $accountId), 'ended', count(*))`,
    notice: ONCE,
  }),
  user_disabled: recorded({
    event: 'user_disabled',
    from: 's',
    account: '$accountId',
    details: `jsonb_build_object('ended', count(*))`,
  }),
  user_deleted: recorded({
    event: 'user_deleted',
    from: 's',
    account: '$accountId',
    details: `jsonb_build_object('ended', count(*))`,
  }),
};

// Every statement that locks several sessions locks them in the order of their ids, so that no two can deadlock.
const end = (reason: EndReason) =>
  statement<Ended, Record<string, unknown>>(`
    WITH locked AS (
      SELECT s.id FROM auth.sessions s
      WHERE s.user_id = $accountId::uuid AND ${IS_LIVE} AND ($scope::text <> 'current' OR s.id = $sessionId::uuid)
      ORDER BY s.id FOR UPDATE
    ), s AS (
      UPDATE auth.sessions s SET revoked_at = now(), draft = $draft::uuid FROM locked
      WHERE s.user_id = $accountId AND s.id = locked.id AND ${IS_LIVE}
        AND ($scope = 'all' OR (s.id = $sessionId) = ($scope = 'current'))
      RETURNING s.*
    ), drafted AS (${drafted('s')}), ${RECORDINGS[reason]}
    SELECT coalesce(json_agg(${REVOCATION}), '[]') AS ended, ${EVENTS} FROM s`);

const STATEMENTS: Record<EndReason, ReturnType<typeof end>> = {
  sign_out: end('sign_out'),
  session_ended: end('session_ended'),
  password_changed: end('password_changed'),
  password_reset: end('password_reset'),
  factors_reset: end('factors_reset'),
  user_disabled: end('user_disabled'),
  user_deleted: end('user_deleted'),
};

/** Ends sessions of an account, and records why. */
export async function endSessions(
  db: Queryable,
  selection: Selection,
  why: { reason: EndReason; clientId?: string },
  origin: Origin,
): Promise<Ended> {
  const values = {
    clientId: null,
    sessionId: null,
    ...selection,
    ...why,
    draft: uuidv7(),
    origin: originValue(origin),
  };
  const [row] = await STATEMENTS[why.reason](db, values);
  return row as Ended;
}

type Place = { accountId: string; sessionId: string };

const DELETE = statement<Place, Place & { batch: number }>(`
  WITH seen AS (
    SELECT s.user_id, s.id, least(s.expires_at, s.revoked_at) < now() - interval '1 day' AS is_old
    FROM auth.sessions s WHERE (s.user_id, s.id) > ($accountId, $sessionId) ORDER BY s.user_id, s.id LIMIT $batch
  ), deleted AS (
    DELETE FROM auth.sessions s USING seen WHERE s.user_id = seen.user_id AND s.id = seen.id AND seen.is_old
  )
  SELECT user_id AS "accountId", id AS "sessionId" FROM seen ORDER BY user_id DESC, id DESC LIMIT 1`);

/**
 * Deletes the sessions that ended more than a day ago, of the next `batch` sessions behind `after`.
 *
 * @returns the last session of the batch, or `undefined` at the end of the table
 */
export async function deleteEndedSessions(db: Queryable, after: Place, batch: number): Promise<Place | undefined> {
  const [last] = await DELETE(db, { ...after, batch });
  return last;
}
