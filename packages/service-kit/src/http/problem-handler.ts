import { Problem } from '@latchkey/user-schema';
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { BusyError } from '../errors.js';
import { describeNoRoute } from './no-route.js';
import { describeError, type ErrorAnswer, type RequestError, toProblem } from './problems.js';

/** Answers every error, and requests that no route takes, as `application/problem+json` (RFC 9457). */
export const problemHandler: FastifyPluginAsync = fp(
  async app => {
    app.addSchema({ ...Problem, $id: 'Problem' });

    app.setErrorHandler<RequestError>((error, request, reply) => {
      const answer = describeError(error);
      if (answer.status >= 500 && !(error instanceof BusyError)) request.log.error({ err: error }, answer.code);
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
  { name: 'problem-handler' },
);

export function sendProblem(request: FastifyRequest, reply: FastifyReply, answer: ErrorAnswer): FastifyReply {
  return reply
    .status(answer.status)
    .headers(answer.headers)
    .type('application/problem+json')
    .send(toProblem(answer, request.id));
}
