import type { Queryable } from '@latchkey/service-kit/database';
import { addressOf } from '@latchkey/service-kit/http';
import type { FastifyRequest } from 'fastify';
import { uuidv7 } from 'uuidv7';
import { statement } from '../database/sql.js';
import type { EventDetails, EventName } from './names.js';

/** Who does something: an account, a client, the operator by the command line, or the service by itself. */
export type Actor = `account:${string}` | `client:${string}` | 'operator' | 'service';

/** Where an event comes from, and who did it when that is known. */
export type Origin = {
  requestId: string | null;
  address: string | null;
  userAgent: string | null;
  actor: Actor | null;
};

/** What the service does by itself. */
export const SERVICE_ORIGIN: Origin = { requestId: null, address: null, userAgent: 'auth-service', actor: 'service' };

/** An event as the statement that has recorded it returns it. */
export type RecordedEvent<Name extends EventName = EventName> = {
  event: Name;
  userId: string | null;
  sessionId: string | null;
  clientId: string | null;
  details: EventDetails[Name] | null;
};

/** An event of a statement: SQL of what it is about. */
type Recording = {
  event: EventName;
  /** What follows FROM: of one row, or of none when there is nothing to record. */
  from: string;
  account?: string;
  session?: string;
  client?: string;
  details?: string;
  /** Who did it when the request does not say so already, as when a caller becomes an account. */
  actor?: string;
  /** What follows FROM: one row when the owner of the account is to be told. */
  notice?: string;
};

const MAX_EVENTS = 3;

/**
 * SQL that records events, for the WITH of the statement that does what they tell, as the query `recorded`: both happen or
 * neither. Those of which the owner is told also become notices. Its parameter is `$origin`: {@link originValue}. Select {@link EVENTS} to tell the log.
 */
export function recorded(...events: [Recording, Recording?, Recording?]): string {
  const selects = events
    .filter(one => one !== undefined)
    .map((one, index) => {
      const { event, from, account, session, client, details, actor } = one;
      return `SELECT ${index}, '${event}', ${account ?? 'NULL'}::uuid, ${session ?? 'NULL'}::uuid, ${client ?? 'NULL'}::text,
      ${details ?? 'NULL'}::jsonb, ${actor ?? 'NULL'}::text FROM ${from}`;
    });
  return `recorded AS (
    INSERT INTO auth.audit_events (place, id, request_id, address, user_agent, actor, event, user_id, session_id, client_id, details)
    SELECT coalesce(what.user_id, o.ids[what.index + 1]), o.ids[what.index + 1], o."requestId", o.address, o."userAgent", coalesce(o.actor, what.actor), what.event,
      what.user_id, what.session_id, what.client_id, what.details
    FROM jsonb_to_record($origin::jsonb) AS o (ids uuid[], "requestId" text, address inet, "userAgent" text, actor text),
      LATERAL (${selects.join(' UNION ALL ')}) AS what (index, event, user_id, session_id, client_id, details, actor)
    RETURNING event, user_id AS "userId", session_id AS "sessionId", client_id AS "clientId", details
  )${noticed(events)}`;
}

function noticed(events: (Recording | undefined)[]): string {
  const selects = events.map((one, index) =>
    one?.notice === undefined ? [] : [`SELECT ${index}, '${one.event}', ${one.account}::uuid FROM ${one.notice}`],
  );
  if (selects.flat().length === 0) return '';
  return `, noticed AS (
    INSERT INTO auth.notices (account_id, event_id, event, address, user_agent)
    SELECT what.account_id, o.ids[what.index + 1], what.event, o.address, o."userAgent"
    FROM jsonb_to_record($origin::jsonb) AS o (ids uuid[], address inet, "userAgent" text),
      LATERAL (${selects.flat().join(' UNION ALL ')}) AS what (index, event, account_id)
  )`;
}

/** The column `events` of a statement with {@link recorded}: {@link RecordedEvent}s. */
export const EVENTS = `(SELECT coalesce(json_agg(recorded), '[]') FROM recorded) AS events`;

/** The actor that is the account of a row. */
export const byAccount = (id: string) => `'account:' || ${id}`;

/** The value of `$origin`. */
export function originValue(origin: Origin): string {
  return JSON.stringify({ ids: Array.from({ length: MAX_EVENTS }, () => uuidv7()), ...origin });
}

const RECORD = statement<RecordedEvent, Record<string, unknown>>(`
  INSERT INTO auth.audit_events (place, id, request_id, address, user_agent, actor, event, user_id, session_id, client_id, details)
  VALUES (coalesce($userId::uuid, $id), $id, $requestId, $address, $userAgent, $actor, $event, $userId, $sessionId, $clientId, $details)
  RETURNING event, user_id AS "userId", session_id AS "sessionId", client_id AS "clientId", details`);

/** Records an event that goes with no other change. */
export function recordEvent<Name extends EventName>(
  db: Queryable,
  origin: Origin,
  event: Name,
  about: { userId?: string | undefined; sessionId?: string; clientId?: string; details: EventDetails[Name] },
): Promise<RecordedEvent[]> {
  return RECORD(db, { id: uuidv7(), ...origin, event, ...about });
}

const USER_AGENT_LENGTH = 256;
// Beside the ASCII ones that HTTP lets through, those of Latin-1, which a terminal that shows the log would obey.
const CONTROLS = /\p{Cc}/gu;

/** Where a request comes from, as sessions and audit events keep it. */
export function originOf(request: FastifyRequest, actor: Actor | null = null): Origin {
  return {
    requestId: request.id,
    address: addressOf(request),
    userAgent: request.headers['user-agent']?.slice(0, USER_AGENT_LENGTH).replace(CONTROLS, '\uFFFD') ?? null,
    actor,
  };
}

/** Logs and counts events of a request that have been committed; the lines and the rows share the request id. */
export function logEvents(request: FastifyRequest, events: RecordedEvent[]): void {
  if (events.length === 0) return;
  const { address, userAgent } = originOf(request);
  for (const { event, userId, sessionId, clientId, details } of events) {
    const level = event === 'refresh_token_reuse' ? 'warn' : 'info';
    const about = { ...(userId && { userId }), ...(sessionId && { sessionId }), ...(clientId && { clientId }) };
    request.log[level]({ event, ...about, ...(details && { details }), address, userAgent }, event);
    const reason = details && 'reason' in details ? { reason: details.reason } : {};
    request.server.count('latchkey_auth_events_total', { event, ...reason });
  }
}
