import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import type { FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify';
import { problemAnswers } from '../http/problem-responses.js';

const Verified = Type.Unsafe<undefined>({
  type: 'null',
  description: 'Empty: the token is valid, and x-auth-user-id, x-auth-username and x-auth-session-id say whose it is',
});

export const verifyRoute: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['gateway'],
    summary: 'Forward authentication for gateways; no database access',
    security: [{ bearer: [] }],
    response: { 200: Verified, ...problemAnswers(401) },
  };
  // Asked with every request that a gateway passes on, and hardly ever logged: it has no logger of its own.
  const options: RouteShorthandOptions = {
    schema,
    onRequest: app.authenticate,
    // The gateway hands a refusal on.
    onError: (_request, reply, _error, done) => {
      reply.headers(app.answerHeaders.forBrowsers);
      done();
    },
    childLoggerFactory: logger => logger,
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
