import { describeError, describeNoRoute, type ErrorAnswer, type RequestError, toProblem } from '@latchkey/service-kit';
import { Problem } from '@latchkey/user-schema';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { DatabaseBusyError, OverloadedError } from './errors.js';

/** Answers every error as `application/problem+json` (RFC 9457). */
export default fp(
  async app => {
    app.addSchema({ ...Problem, $id: 'Problem' });

    app.setErrorHandler<RequestError>((error, request, reply) => {
      const answer = describeError(error);
      // A refusal for want of room is no fault, and comes by the thousand.
      const isRefusal = error instanceof OverloadedError || error instanceof DatabaseBusyError;
      if (answer.status >= 500 && !isRefusal) request.log.error({ err: error }, answer.code);
      return send(request, reply, answer);
    });

    const refuse = (request: FastifyRequest, reply: FastifyReply) =>
      send(request, reply, describeNoRoute(app, request));
    // Before Fastify reads the body: it answers a QUERY without Content-Type by itself, and 415 to what it cannot parse.
    app.addHook('onRequest', (request, reply, done) => {
      if (request.is404) refuse(request, reply);
      else done();
    });
    // For routes that find nothing.
    app.setNotFoundHandler(refuse);
  },
  { name: 'problems' },
);

function send(request: FastifyRequest, reply: FastifyReply, answer: ErrorAnswer): FastifyReply {
  return reply
    .status(answer.status)
    .headers(answer.headers)
    .type('application/problem+json')
    .send(toProblem(answer, request.id));
}
