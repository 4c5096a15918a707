import { describeError, type ErrorAnswer, type RequestError, toProblem } from '@latchkey/service-kit';
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
    app.setNotFoundHandler((request, reply) => {
      return sendProblem(request, reply, {
        status: 404,
        code: 'not_found',
        detail: 'There is nothing here.',
        headers: {},
      });
    });
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
