import { addressOf } from '@latchkey/service-kit/http';
import type { FastifyRequest } from 'fastify';
import type { Actor, Origin, RecordedEvent } from './recorder.js';

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
