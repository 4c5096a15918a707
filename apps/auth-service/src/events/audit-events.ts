import { uuidv7 } from 'uuidv7';
import { type Queryable, utc } from '../database/sql.js';

/** What an audit event may tell. */
export type AuditEventName =
  | 'sign_up'
  | 'sign_up_repeated'
  | 'sign_up_failed'
  | 'sign_in'
  | 'sign_in_failed'
  | 'refresh'
  | 'refresh_token_reuse'
  | 'sign_out'
  | 'session_ended'
  | 'password_changed'
  | 'password_change_failed'
  | 'signing_key_added'
  | 'signing_key_retired'
  | 'signing_key_distrusted'
  | 'signing_key_resealed'
  | 'client_created'
  | 'client_secret_rotated'
  | 'client_disabled'
  | 'client_enabled'
  | 'user_disabled'
  | 'user_enabled'
  | 'users_imported'
  | 'revocations_restored';

/** Where an event comes from. */
export type Origin = { requestId: string | null; address: string | null; userAgent: string | null };

/** Whom and what an event is about. */
export type Subject = { userId?: string; sessionId?: string; clientId?: string; details?: Record<string, unknown> };

/**
 * SQL that records an event, for the WITH of the statement that does what the event tells: both happen or neither.
 *
 * @param origin placeholder of {@link originValue}, such as `$7`
 * @param what a SELECT of event, user_id, session_id, client_id and details, of one row or none
 */
export const recording = (origin: string, what: string) => `
  INSERT INTO auth.audit_events (id, request_id, address, user_agent, event, user_id, session_id, client_id, details)
  SELECT o.id, o."requestId", o.address, o."userAgent", what.*
  FROM jsonb_to_record(${origin}::jsonb) AS o (id uuid, "requestId" text, address inet, "userAgent" text),
    LATERAL (${what}) AS what (event, user_id, session_id, client_id, details)`;

/** The value for {@link recording}. */
export const originValue = (origin: Origin): string => JSON.stringify({ id: uuidv7(), ...origin });

/** Records an event by itself. */
export async function recordEvent(
  db: Queryable,
  origin: Origin,
  event: AuditEventName,
  { userId, sessionId, clientId, details }: Subject,
): Promise<void> {
  await db.query(recording('$1', 'SELECT $2::text, $3::uuid, $4::uuid, $5::text, $6::jsonb'), [
    originValue(origin),
    event,
    userId,
    sessionId,
    clientId,
    details,
  ]);
}

/** An event as it is shown. */
export type AuditEvent = {
  happenedAt: string;
  event: string;
  username: string | null;
  sessionId: string | null;
  clientId: string | null;
  address: string | null;
  userAgent: string | null;
  requestId: string | null;
  details: Record<string, unknown> | null;
};

/** Lists the latest events, those of one account when it is named. */
export async function listEvents(db: Queryable, which: { user?: string; limit: number }): Promise<AuditEvent[]> {
  const { rows } = await db.query<AuditEvent>(
    `SELECT ${utc('e.happened_at')} AS "happenedAt", e.event, u.username, e.session_id AS "sessionId",
       e.client_id AS "clientId", host(e.address) AS address, e.user_agent AS "userAgent", e.request_id AS "requestId",
       e.details
     FROM auth.audit_events e LEFT JOIN auth.users u ON u.id = e.user_id
     WHERE $1::text IS NULL
       OR e.user_id = (SELECT id FROM auth.users WHERE lower(username COLLATE "C") = lower($1 COLLATE "C"))
     ORDER BY e.id DESC LIMIT $2`,
    [which.user, which.limit],
  );
  return rows;
}

/** Deletes up to `batch` events that are older than `days`; the answer is how many. */
export async function sweepEvents(db: Queryable, days: number, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM auth.audit_events WHERE id IN (
       SELECT id FROM auth.audit_events WHERE happened_at < now() - make_interval(days => $1) LIMIT $2
     )`,
    [days, batch],
  );
  return rowCount ?? 0;
}
