import { randomUUID } from 'node:crypto';
import { answerClientError, describeError, toProblem, trustedProxies } from '@latchkey/service-kit';
import {
  type FastifyError,
  type FastifyHttpOptions,
  type FastifyReply,
  type FastifyRequest,
  LogController,
  type RawRequestDefaultExpression,
  type RawServerDefault,
} from 'fastify';
import type { DestinationStream } from 'pino';
import { createAnswerHeaders } from './answer-headers.js';
import { addressOf } from './audit.js';
import type { Config } from './config.js';

// A whole request must have arrived by then.
const REQUEST_TIMEOUT_MS = 10_000;
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
    requestTimeout: REQUEST_TIMEOUT_MS,
    // Node swaps the two limits when the one for headers is the longer, and looks only every 30 seconds by default.
    http: { headersTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: 1000 },
    // Longer than gateways keep theirs, so that it is they who close.
    keepAliveTimeout: 75_000,
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
      const taken = typeof id === 'string' && REQUEST_ID.test(id) && isTrusted(request.socket.remoteAddress ?? '');
      return taken ? id : randomUUID();
    },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, allErrors: true } },
    logController: new LogController({ disableRequestLogging: request => QUIET.has(request.routeOptions.url ?? '') }),
    logger: {
      level: config.logLevel,
      // PostgreSQL quotes whole rows and parameters there.
      redact: { paths: ['err.detail', 'err.where'], remove: true },
      serializers: {
        // The pattern of the route, not what was asked for: paths, query strings and bodies may hold secrets.
        req: request => ({
          method: request.method,
          path: request.routeOptions.url,
          remoteAddress: addressOf(request) ?? 'unknown',
        }),
      },
      ...(logStream && { stream: logStream }),
    },
  } satisfies FastifyHttpOptions<RawServerDefault>;
}
