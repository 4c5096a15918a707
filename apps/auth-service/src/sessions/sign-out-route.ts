import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { SignOutRequest } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { originOf } from '../events/recorder.js';
import { endSessions } from './end.js';

export const signOutRoute: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['auth'],
    operationId: 'signOut',
    summary: 'Sign out',
    security: [{ bearer: [] }],
    body: SignOutRequest,
    response: {
      204: Type.Null({ description: 'The sessions are ended' }),
      ...problemResponses(),
    },
  };
  const options = {
    config: { audience: 'browsers' as const, optionalBody: true as const },
    schema,
    onRequest: app.authenticateAny,
    preHandler: app.requireSession,
  };
  app.post('/auth/sign-out', options, async (request, reply) => {
    const { account, body, claims } = request;
    const selection = { accountId: account.id, sessionId: claims.sid, scope: body.scope ?? 'current' };
    app.announce(
      request,
      await endSessions(app.pg, selection, { reason: 'sign_out' }, originOf(request, `account:${account.id}`)),
    );
    return reply.status(204).send(null);
  });
};
