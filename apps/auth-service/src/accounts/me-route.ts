import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { User } from '@latchkey/user-schema';

export const meRoute: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['auth'],
    summary: 'Who is signed in',
    security: [{ bearer: [] }],
    response: { 200: User, ...problemResponses(401, 503) },
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
