import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Sessions } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { logEvent, originOf } from '../audit.js';
import { endSession, listSessions } from '../data/sessions.js';
import { NotFoundError } from '../errors.js';
import { problemAnswers } from './problem-answers.js';

// Not the format `uuid`: that also takes URNs, which PostgreSQL does not.
const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$';
const SessionId = Type.Object({ id: Type.String({ pattern: UUID }) });

export const sessionsRoutes: FastifyPluginAsyncTypebox = async app => {
  app.addHook('onRequest', app.authenticate);
  app.addHook('preHandler', app.requireSession);
  const common = { tags: ['auth'], security: [{ bearer: [] }] };

  const list = { ...common, summary: 'List sessions', response: { 200: Sessions, ...problemAnswers(401, 503) } };
  app.get('/auth/sessions', { schema: list }, async request => ({
    sessions: await listSessions(app.pg, request.account.id, request.user.sid),
  }));

  const end = {
    ...common,
    summary: 'End a session',
    params: SessionId,
    response: { 204: Type.Null({ description: 'The session is ended' }), ...problemAnswers(400, 401, 404, 503) },
  };
  app.delete('/auth/sessions/:id', { schema: end }, async (request, reply) => {
    const session = { userId: request.account.id, sessionId: request.params.id.toLowerCase() };
    const ended = await endSession(app.pg, session, originOf(request));
    if (!ended) throw new NotFoundError();
    app.revocations.add([ended]);
    logEvent(request, 'session_ended', session);
    return reply.status(204).send(null);
  });
};
