import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { Type } from '@sinclair/typebox';
import type { FastifyBaseLogger, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify';

const Verified = Type.Unsafe<undefined>({
  type: 'null',
  description: 'Empty: the token is valid, and x-auth-user-id, x-auth-username and x-auth-session-id say whose it is',
});

export const verifyRoute: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['gateway'],
    summary: 'Forward authentication for gateways; no database access',
    security: [{ bearer: [] }],
    response: { 200: Verified, ...problemResponses(401) },
  };
  // Asked with every request that a gateway passes on: one logger serves them all.
  let log: FastifyBaseLogger | undefined;
  const options: RouteShorthandOptions = {
    schema,
    config: { audience: 'gateways' },
    logLevel: 'warn',
    childLoggerFactory: (logger, _bindings, options) => {
      log ??= logger.child({}, options);
      return log;
    },
    onRequest: app.authenticate,
  };
  const tellWho = (request: FastifyRequest, reply: FastifyReply) => {
    reply
      .header('x-auth-user-id', request.claims.id)
      .header('x-auth-username', request.claims.username)
      .header('x-auth-session-id', request.claims.sid)
      .send(undefined);
  };
  app.get('/auth/verify', options, tellWho);
  // Envoy asks with the method of the request that it asks about.
  const method = ['POST', 'PUT', 'PATCH', 'DELETE'];
  app.route({ ...options, schema: { ...schema, hide: true }, method, url: '/auth/verify', handler: tellWho });
};
