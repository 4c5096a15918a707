import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { type Acr, meetsDemand, VerifyQuery } from '@latchkey/user-schema';
import type { FastifyBaseLogger, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify';
import { empty } from '../http/empty.js';
import { InsufficientAuthenticationError } from '../http/errors.js';
import { insufficientAuthentication } from './demand.js';

const PATH = '/auth/verify';
// Of tokens of the version before.
const LEAST_ACR: Acr = 'aal1';

const Verified = empty('The token is valid, and the headers say whose it is', {
  'x-auth-user-id': 'Id of the account',
  'x-auth-username': 'Its username',
  'x-auth-session-id': 'Id of the session',
  'x-auth-acr': 'How well the user was proved: `aal1` or `aal2`',
});

export const verifyRoute: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['gateway'],
    operationId: 'verifyToken',
    summary: 'Forward authentication for gateways; no database access',
    security: [{ bearer: [] }],
    querystring: VerifyQuery,
    response: { 200: Verified, ...problemResponses(InsufficientAuthenticationError) },
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
    const { acr, max_age: maxAge } = request.query as VerifyQuery;
    const demand = { ...(acr && { acr }), ...(maxAge !== undefined && { maxAgeS: Number(maxAge) }) };
    if (!meetsDemand(request.claims, demand)) throw insufficientAuthentication(demand);
    reply
      .header('x-auth-user-id', request.claims.id)
      .header('x-auth-username', request.claims.username)
      .header('x-auth-session-id', request.claims.sid)
      .header('x-auth-acr', request.claims.acr ?? LEAST_ACR)
      .send(undefined);
  };
  app.get(PATH, options, tellWho);
  // With most requests the token is known already. A test compares this response with the route's.
  app.respondEarly(PATH, ({ authorization, requestId }, response) => {
    const claims = app.findVerified(authorization);
    if (claims === undefined) return undefined;
    response.writeHead(200, {
      'cache-control': 'no-store',
      'x-request-id': requestId,
      'x-auth-user-id': claims.id,
      'x-auth-username': claims.username,
      'x-auth-session-id': claims.sid,
      'x-auth-acr': claims.acr ?? LEAST_ACR,
      'content-length': '0',
    });
    response.end();
    return 200;
  });
  // Envoy asks with the method of the request that it asks about.
  const method = ['POST', 'PUT', 'PATCH', 'DELETE'];
  app.route({ ...options, schema: { ...schema, hide: true }, method, url: PATH, handler: tellWho });
};
