import { describeError, type RequestError, toProblem } from '@latchkey/service-kit';
import fp from 'fastify-plugin';

/** Answers every error as `application/problem+json` (RFC 9457). */
export default fp(
  async app => {
    app.setErrorHandler<RequestError>((error, request, reply) => {
      const answer = describeError(error);
      if (answer.status >= 500) request.log.error({ err: error }, answer.code);
      return reply
        .status(answer.status)
        .headers(answer.headers)
        .type('application/problem+json')
        .send(toProblem(answer, request.id));
    });
    app.setNotFoundHandler((request, reply) => {
      const problem = toProblem({ status: 404, code: 'not_found', detail: 'There is nothing here.' }, request.id);
      return reply.status(404).type('application/problem+json').send(problem);
    });
  },
  { name: 'problems' },
);
