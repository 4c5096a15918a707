import type { RequestListener } from 'node:http';
import type { FastifyError, FastifyHttpOptions, FastifyReply, FastifyRequest, RawServerDefault } from 'fastify';
import { stdSerializers } from 'pino';
import { addressOf } from './caller-address.js';
import { buildSerializer, buildValidator } from './compilers.js';
import { createHttpServer, respondToClientError } from './http-server.js';
import { sendProblem } from './problem-handler.js';
import { describeError } from './problems.js';
import type { RequestIds } from './request-ids.js';
import type { ServiceOptions } from './service.js';

/** What the server of a service is made with, beside its options. */
type ServerParts = {
  /** Of responses to what is refused before routing. */
  headers: Readonly<Record<string, string>>;
  isTrusted: (address: string | undefined) => boolean;
  requestIds: RequestIds;
  /** Wraps Fastify's listener. */
  wrap: (listener: RequestListener) => RequestListener;
};

/** Fastify's options: limits, logging, proxies, validation. */
export function serverOptions(
  { logLevel, logStream }: ServiceOptions,
  { headers, isTrusted, requestIds, wrap }: ServerParts,
): FastifyHttpOptions<RawServerDefault> {
  return {
    bodyLimit: 16 * 1024,
    // A migration, or waiting for another replica's, takes as long as it takes; the database has limits of its own.
    pluginTimeout: 0,
    serverFactory: listener => createHttpServer(wrap(listener)),
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    trustProxy: isTrusted,
    clientErrorHandler: respondToClientError,
    // What is refused before routing, such as a path that is not well encoded, reaches neither hooks nor error handler.
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
      sendProblem(request, reply.headers(headers).header('x-request-id', request.id), describeError(error));
    },
    genReqId: requestIds.of,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, allErrors: true, keywords: ['x-message'] } },
    schemaController: { compilersFactory: { buildSerializer, buildValidator } },
    logger: {
      level: logLevel,
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
  };
}

// biome-ignore lint/suspicious/noExplicitAny: a logger gives a serializer whatever was logged
type Serializers = Record<string, (value: any) => any>;

/**
 * Makes the serializers of a logger unable to throw. A logger does not catch their errors, and most lines are logged
 * outside of any handler, where an error ends the process. A value that cannot be serialized is replaced by a text.
 */
export function infallible(serializers: Serializers): Serializers {
  const guarded = Object.entries(serializers).map(([name, serialize]) => {
    const attempt = (value: unknown) => {
      try {
        return serialize(value);
      } catch {
        return 'cannot be serialized';
      }
    };
    return [name, attempt];
  });
  return Object.fromEntries(guarded);
}
