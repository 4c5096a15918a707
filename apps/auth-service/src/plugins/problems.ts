import { describeError, type ErrorAnswer, type RequestError, toProblem } from '@latchkey/service-kit';
import { Problem } from '@latchkey/user-schema';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { DatabaseBusyError, OverloadedError } from '../errors.js';

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

    app.setNotFoundHandler((request, reply) => {
      const routes = methodsAt(app, request.url);
      // A route that found nothing itself ends here too.
      const allow = routes.includes(request.method) ? [] : routes;
      return send(
        request,
        reply,
        allow.length === 0
          ? { status: 404, code: 'not_found', detail: 'There is nothing here.', headers: {} }
          : {
              status: 405,
              code: 'method_not_allowed',
              detail: `Use ${allow.join(' or ')}.`,
              headers: { allow: allow.join(', ') },
            },
      );
    });
  },
  { name: 'problems' },
);

/** The methods that there is a route for. */
export function methodsAt(app: FastifyInstance, url: string): string[] {
  const [path = ''] = url.split('?', 1);
  return app.supportedMethods.filter(method => app.findRoute({ url: path, method }));
}

function send(request: FastifyRequest, reply: FastifyReply, answer: ErrorAnswer): FastifyReply {
  return reply
    .status(answer.status)
    .headers(answer.headers)
    .type('application/problem+json')
    .send(toProblem(answer, request.id));
}
