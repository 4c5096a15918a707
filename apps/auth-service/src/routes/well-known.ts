import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Jwks } from '@latchkey/user-schema';

export const wellKnownRoutes: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['gateway'],
    summary: 'Public keys that verify access tokens (RFC 7517)',
    response: { 200: Jwks },
  };
  app.get('/.well-known/jwks.json', { schema }, (_request, reply) => {
    reply.header('cache-control', 'public, max-age=300').send(app.jwks);
  });
};
