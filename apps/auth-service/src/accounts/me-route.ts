import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { User } from '@latchkey/user-schema';
import { InsufficientAuthenticationError } from '../http/errors.js';

export const meRoute: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['auth'],
    operationId: 'getMe',
    summary: 'Who is signed in',
    security: [{ bearer: [] }],
    response: { 200: User, ...problemResponses(InsufficientAuthenticationError) },
  };
  const options = {
    config: { audience: 'browsers' as const },
    schema,
    onRequest: app.authenticate,
    preHandler: app.requireSession,
  };
  app.get('/auth/me', options, async (request, reply) => {
    return reply.send(request.account);
  });
};
