import { Problem } from '@latchkey/user-schema';
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import fp from 'fastify-plugin';
import { BusyError } from '../errors.js';
import { describeError, type ErrorResponse, type RequestError, toProblem } from './problems.js';

/** Responds to every error, and to requests that no route takes, with `application/problem+json` (RFC 9457). */
export const problemHandler: FastifyPluginAsync = fp(
  async app => {
    app.addSchema({ ...Problem, $id: 'Problem' });

    app.setErrorHandler<RequestError>((error, request, reply) => {
      const described = describeError(error);
      if (described.status >= 500 && !(error instanceof BusyError)) request.log.error({ err: error }, described.code);
      return sendProblem(request, reply, described);
    });

    const refuse = (request: FastifyRequest, reply: FastifyReply) =>
      sendProblem(request, reply, describeNoRoute(app, request));
    // Before Fastify reads the body: it responds to a QUERY without Content-Type by itself, and 415 to what it cannot parse.
    app.addHook('onRequest', (request, reply, done) => {
      if (request.is404) refuse(request, reply);
      else done();
    });
    // For routes that find nothing.
    app.setNotFoundHandler(refuse);
  },
  { name: 'problem-handler' },
);

export function sendProblem(request: FastifyRequest, reply: FastifyReply, described: ErrorResponse): FastifyReply {
  return reply
    .status(described.status)
    .headers(described.headers)
    .type('application/problem+json')
    .send(toProblem(described, request.id));
}

/** The methods that there is a route for. */
function methodsAt(app: FastifyInstance, url: string): string[] {
  const [path = ''] = url.split('?', 1);
  // The preflights of @fastify/cors have a route for every path.
  const methods = app.supportedMethods.filter(method => method !== 'OPTIONS');
  return methods.filter(method => app.findRoute({ url: path, method: method as HTTPMethods }));
}

/** Describes the response to a request that no route takes: 405 where another method would do, otherwise 404. */
function describeNoRoute(app: FastifyInstance, { method, url }: { method: string; url: string }): ErrorResponse {
  const allowed = methodsAt(app, url);
  // A route that found nothing itself may get it too.
  if (allowed.length === 0 || allowed.includes(method)) {
    return { status: 404, code: 'not_found', detail: 'There is nothing here.', headers: {} };
  }
  const headers = { allow: allowed.join(', ') };
  return { status: 405, code: 'method_not_allowed', detail: `Use ${allowed.join(' or ')}.`, headers };
}
