import { describeError, describeNoRoute, type ErrorAnswer, type RequestError, toProblem } from '@latchkey/service-kit';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';

/** Answers every error as `application/problem+json` (RFC 9457). */
export default fp(
  async app => {
    app.setErrorHandler<RequestError>((error, request, reply) => {
      const answer = describeError(error);
      if (answer.status >= 500) request.log.error({ err: error }, answer.code);
      return sendProblem(request, reply, answer);
    });
    const refuse = (request: FastifyRequest, reply: FastifyReply) =>
      sendProblem(request, reply, describeNoRoute(app, request));
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

export function sendProblem(request: FastifyRequest, reply: FastifyReply, answer: ErrorAnswer): FastifyReply {
  return reply
    .status(answer.status)
    .headers(answer.headers)
    .type('application/problem+json')
    .send(toProblem(answer, request.id));
}
