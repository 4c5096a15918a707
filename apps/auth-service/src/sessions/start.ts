import type { Queryable } from '@latchkey/service-kit/database';
import type { Revocation, SecondFactor } from '@latchkey/user-schema';
import { uuidv7 } from 'uuidv7';
import type { SessionSettings } from '../config/sections/sessions.js';
import { statement } from '../database/sql.js';
import { byAccount, EVENTS, type Origin, originValue, type RecordedEvent, recorded } from '../events/recorder.js';
import { drafted, REVOCATION } from '../revocations/drafts.js';
import { FACTORS } from './factors.js';
import { newSalt } from './refresh-token.js';
import { type Lifetimes, type SessionState, STATE } from './session.js';

/** That a caller has proved to be an account. */
export type Proof = {
  accountId: string;
  /** The version of the account's credentials that were proved. */
  credentialVersion: number;
  /** How it was proved (RFC 8176). */
  amr: readonly string[];
  /** Uses the proof up in the statement that starts the session. */
  use?: ProofUse;
};

/** A statement of {@link startUsing}, and the values of the parameters of its proof. */
export type ProofUse = { start: StartStatement; values: object };

/** Why the session starts: the account signs in, or was just made. */
export type Start = 'sign_in' | 'sign_up';

/** A started session, the recorded events, and the oldest sessions that ended for it. */
export type Started = { session: SessionState; events: RecordedEvent[]; ended: Revocation[] };

/** No session started, because the account has second factors and none was proved. */
export type FactorDue = { methods: SecondFactor[]; events: RecordedEvent[] };

/** The settings of sessions and access tokens. */
export type SessionLimits = Lifetimes & SessionSettings;

// Bounds the work of one sign-in to an account with many sessions from before SESSIONS_PER_ACCOUNT was introduced or lowered.
const MAX_ENDED_AT_ONCE = 1000;

const inSeconds = (...least: string[]) => `now() + make_interval(secs => least(${least.map(name => `${name}::int`)}))`;

// The owner is told of a sign-in from an address and browser from which no session that is still kept has begun.
const NEW_PLACE = `new_place AS (
  SELECT u.id FROM auth.users u
  WHERE u.id = $accountId AND u.email IS NOT NULL AND NOT EXISTS (
    SELECT FROM auth.sessions k WHERE k.user_id = u.id AND k.id <> $sessionId AND k.address = $address AND k.user_agent = $userAgent)
)`;

// The lock on the account serializes its sign-ins. The statement sees the sessions of the time when it began to wait for the
// lock; the function that ends the oldest sessions has a snapshot of its own, so it also counts those started meanwhile.
const start = (event: Start, proved?: string) =>
  statement<SessionState & Omit<Started, 'session'> & FactorDue, Record<string, unknown>>(`
    WITH account AS (
      SELECT u.id, u.credential_version, CASE WHEN 'mfa' = ANY ($amr::text[]) THEN '{}' ELSE ${FACTORS} END AS due
      FROM auth.users u
      WHERE u.id = $accountId::uuid AND u.credential_version = $credentialVersion::int AND u.disabled_at IS NULL
      FOR NO KEY UPDATE
    ), ${proved === undefined ? '' : `${proved}, `}s AS (
      INSERT INTO auth.sessions AS s (id, user_id, salt, credential_version, amr, auth_time, expires_at, ends_at, token_expires_at,
        user_agent, address)
      SELECT $sessionId::uuid, a.id, $salt::bytea, a.credential_version, $amr::text[], now(),
        ${inSeconds('$refreshTokenTtlS', '$sessionMaxAgeS')}, ${inSeconds('$sessionMaxAgeS')},
        ${inSeconds('$accessTokenTtlS', '$refreshTokenTtlS', '$sessionMaxAgeS')}, $userAgent::text, $address::inet
      FROM account a${proved === undefined ? '' : ' JOIN proved ON true'} WHERE a.due = '{}'
      RETURNING *
    ), ended AS (
      SELECT e.id, e.token_expires_at
      FROM s, LATERAL auth.end_oldest_sessions(
        s.user_id, s.id, $sessionsPerAccount::int, ${MAX_ENDED_AT_ONCE}, $draft::uuid) AS e
    ), drafted AS (${drafted('ended')}), ${event === 'sign_in' ? `${NEW_PLACE}, ` : ''}${recorded(
      {
        ...{ event, from: 's', account: 's.user_id', session: 's.id', actor: byAccount('s.user_id') },
        ...(event === 'sign_in' && { notice: 's, new_place' }),
      },
      {
        event: 'session_ended',
        from: 'ended HAVING count(*) > 0',
        account: '$accountId',
        session: 'CASE WHEN count(*) = 1 THEN (array_agg(ended.id))[1] END',
        details: `jsonb_build_object('reason', 'too_many_sessions', 'ended', count(*))`,
        actor: `'service'`,
      },
      {
        event: 'second_factor_due',
        from: `account WHERE account.due <> '{}'`,
        account: 'account.id',
        actor: byAccount('account.id'),
      },
    )}
    SELECT ${STATE}, (SELECT coalesce(json_agg(${REVOCATION}), '[]') FROM ended) AS ended, account.due AS methods, ${EVENTS}
    FROM account${proved === undefined ? '' : ' JOIN proved ON true'} LEFT JOIN s ON true`);

type StartStatement = ReturnType<typeof start>;

const STATEMENTS: Record<Start, StartStatement> = { sign_in: start('sign_in'), sign_up: start('sign_up') };

/**
 * Makes the statement that starts a session of a sign-in and uses its proof up, in one round trip.
 *
 * @param proved - queries for the WITH of the statement, of which `proved` has one row when the proof could be used; they find the
 * locked account in `account`, which is empty when it may not sign in
 */
export const startUsing = (proved: string): StartStatement => start('sign_in', proved);

/**
 * Starts a session of an account; nothing else does. The oldest sessions beyond `sessionsPerAccount` end. An account that has
 * second factors gets a session only for a proof of several factors (`amr` with `mfa`); otherwise this says which it has.
 *
 * @returns `undefined` when the account is disabled, its credentials have changed since they were proved, or the proof was used already
 */
export async function startSession(
  db: Queryable,
  { use, ...proof }: Proof,
  event: Start,
  limits: SessionLimits,
  origin: Origin,
): Promise<Started | FactorDue | undefined> {
  const [row] = await (use?.start ?? STATEMENTS[event])(db, {
    ...{ ...use?.values, ...limits, ...proof, sessionId: uuidv7(), draft: uuidv7(), salt: newSalt() },
    ...{ userAgent: origin.userAgent, address: origin.address, origin: originValue(origin) },
  });
  if (!row) return undefined;
  const { events, ended, methods, ...session } = row;
  return methods.length > 0 ? { methods, events } : { session, events, ended };
}
