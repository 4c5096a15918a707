import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { IdParams, MAX_SESSIONS_PAGE, Sessions, SessionsQuery } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { originOf } from '../events/recorder.js';
import { InsufficientAuthenticationError, NotFoundError } from '../http/errors.js';
import { endSessions } from './end.js';
import { listSessions } from './list.js';

export const sessionsRoutes: FastifyPluginAsyncTypebox = async app => {
  app.addHook('onRequest', app.authenticate);
  app.addHook('preHandler', app.requireSession);
  const common = { tags: ['auth'], security: [{ bearer: [] }] };

  const list = {
    ...common,
    operationId: 'listSessions',
    summary: 'List sessions, the newest first, in pages',
    querystring: SessionsQuery,
    response: { 200: Sessions, ...problemResponses(InsufficientAuthenticationError) },
  };
  app.get('/auth/sessions', { config: { audience: 'browsers' }, schema: list }, async request => {
    const { after, limit = MAX_SESSIONS_PAGE } = request.query;
    const asking = { accountId: request.account.id, sessionId: request.claims.sid };
    return listSessions(app.pg, asking, { after, limit: Number(limit) });
  });

  const end = {
    ...common,
    operationId: 'endSession',
    summary: 'End a session',
    params: IdParams,
    response: {
      204: Type.Null({ description: 'The session is ended' }),
      ...problemResponses(InsufficientAuthenticationError, NotFoundError),
    },
  };
  app.delete('/auth/sessions/:id', { config: { audience: 'browsers' }, schema: end }, async (request, reply) => {
    const { account, params } = request;
    const selection = { accountId: account.id, sessionId: params.id.toLowerCase(), scope: 'current' as const };
    const done = await endSessions(
      app.pg,
      selection,
      { reason: 'session_ended' },
      originOf(request, `account:${account.id}`),
    );
    if (done.ended.length === 0) throw new NotFoundError('such session');
    app.announce(request, done);
    return reply.status(204).send(null);
  });
};
