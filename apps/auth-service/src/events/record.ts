import type { FastifyRequest } from 'fastify';
import { addressOf } from '../http/caller-address.js';
import type { AuditEventName, Origin, Subject } from './audit-events.js';

const USER_AGENT_LENGTH = 256;
// Beside the ASCII ones that HTTP lets through, those of Latin-1, which a terminal that shows the log would obey.
const CONTROLS = /\p{Cc}/gu;

/** Where a request comes from, as sessions and audit events keep it. */
export function originOf(request: FastifyRequest): Origin {
  return {
    requestId: request.id,
    address: addressOf(request),
    userAgent: request.headers['user-agent']?.slice(0, USER_AGENT_LENGTH).replace(CONTROLS, '\uFFFD') ?? null,
  };
}

/** Logs and counts an event whose row is written; the line and the row share the request id. */
export function logEvent(request: FastifyRequest, event: AuditEventName, subject: Subject): void {
  const { address, userAgent } = originOf(request);
  const level = event === 'refresh_token_reuse' ? 'warn' : 'info';
  request.log[level]({ event, ...subject, address, userAgent }, event);
  const reason = subject.details?.['reason'];
  request.server.count('latchkey_auth_events_total', { event, ...(typeof reason === 'string' && { reason }) });
}
