import { Problem } from '@latchkey/user-schema';
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { BusyError } from '../errors.js';
import { describeNoRoute } from './no-route.js';
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
