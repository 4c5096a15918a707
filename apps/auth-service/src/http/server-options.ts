import { randomUUID } from 'node:crypto';
import {
  answerClientError,
  createHttpServer,
  describeError,
  infallible,
  toProblem,
  trustedProxies,
} from '@latchkey/service-kit';
import {
  type FastifyError,
  type FastifyHttpOptions,
  type FastifyReply,
  type FastifyRequest,
  LogController,
  type RawRequestDefaultExpression,
  type RawServerDefault,
} from 'fastify';
import { type DestinationStream, stdSerializers } from 'pino';
import type { Config } from '../config/settings.js';
import { addressOf } from './caller-address.js';
import { createAnswerHeaders } from './response-headers.js';

// Asked all the time by machines; their errors are logged all the same.
const QUIET = new Set(['/auth/verify', '/auth/revocations', '/.well-known/jwks.json', '/livez', '/readyz']);
const REQUEST_ID = /^[\w.:-]{1,128}$/;

/** Fastify's options: limits, logging, proxies, validation. */
export function serverOptions(config: Config, logStream?: DestinationStream) {
  const isTrusted = trustedProxies(config.trustProxy);
  const headers = createAnswerHeaders(config);

  return {
    bodyLimit: 16 * 1024,
    // A migration, or waiting for another replica's, takes as long as it takes; the database has limits of its own.
    pluginTimeout: 0,
    serverFactory: createHttpServer,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    trustProxy: isTrusted,
    clientErrorHandler: answerClientError,
    // What is refused before routing, such as a path that is not well encoded, does not reach the error handler.
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
      const answer = describeError(error);
      reply
        .status(answer.status)
        .headers(headers.forRequest(request))
        .header('x-request-id', request.id)
        .type('application/problem+json')
        .send(toProblem(answer, request.id));
    },
    // A gateway's id joins its log to ours; anybody else's could forge that.
    genReqId: (request: RawRequestDefaultExpression) => {
      const id = request.headers['x-request-id'];
      const taken = typeof id === 'string' && REQUEST_ID.test(id) && isTrusted(request.socket.remoteAddress);
      return taken ? id : randomUUID();
    },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, allErrors: true } },
    logController: new LogController({ disableRequestLogging: request => QUIET.has(request.routeOptions.url ?? '') }),
    logger: {
      level: config.logLevel,
      // PostgreSQL quotes whole rows and parameters there.
      redact: { paths: ['err.detail', 'err.where'], remove: true },
      serializers: infallible({
        // The pattern of the route, not what was asked for: paths, query strings and bodies may hold secrets.
        req: (request: FastifyRequest) => ({
          method: request.method,
          path: request.routeOptions.url,
          remoteAddress: addressOf(request) ?? 'unknown',
        }),
        res: ({ statusCode }: FastifyReply) => ({ statusCode }),
        err: stdSerializers.err,
      }),
      ...(logStream && { stream: logStream }),
    },
  } satisfies FastifyHttpOptions<RawServerDefault>;
}
