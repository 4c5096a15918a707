import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { SignOutRequest } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { logEvent, originOf } from '../events/record.js';
import { problemAnswers } from '../http/problem-responses.js';
import { endSessions } from './stored-sessions.js';

export const signOutRoute: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['auth'],
    summary: 'Sign out',
    security: [{ bearer: [] }],
    body: SignOutRequest,
    'x-optional-body': true,
    response: { 204: Type.Null({ description: 'The sessions are ended' }), ...problemAnswers(400, 401, 413, 415, 503) },
  };
  const options = {
    schema,
    onRequest: app.authenticate,
    // Everything in the body is optional, so the body is too.
    preValidation: async (request: FastifyRequest) => {
      request.body ??= {};
    },
    preHandler: app.requireSession,
  };
  app.post('/auth/sign-out', options, async (request, reply) => {
    const session = { userId: request.account.id, sessionId: request.user.sid };
    const { scope = 'current' } = request.body;
    const ended = await endSessions(app.pg, session, scope, originOf(request));
    if (ended.length > 0) {
      app.revocations.add(ended);
      logEvent(request, 'sign_out', { ...session, details: { scope, ended: ended.length } });
    }
    return reply.status(204).send(null);
  });
};
