import type { FastifyRequest } from 'fastify';
import type { Config } from '../config/settings.js';
import { logEvent, originOf } from '../events/record.js';
import { insertSession, newSession, type SessionState, TOO_MANY_SESSIONS } from './stored-sessions.js';

/**
 * Starts a session of an account that a request has proved to be its caller's, unless the account was disabled or got
 * another password since `passwordHash` was read. The oldest sessions beyond the limit end.
 */
export async function startSession(
  request: FastifyRequest,
  user: { id: string; passwordHash: string },
  config: Config,
): Promise<SessionState | undefined> {
  const { pg, revocations } = request.server;
  const started = await insertSession(pg, user, newSession(), config, originOf(request));
  if (!started) return undefined;
  const { session, ended } = started;
  if (ended.length > 0) {
    revocations.add(ended);
    const details = { reason: TOO_MANY_SESSIONS, ended: ended.length };
    logEvent(request, 'session_ended', { userId: user.id, details });
  }
  return session;
}
