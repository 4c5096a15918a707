import { randomUUID } from 'node:crypto';
import { authGuard } from '@latchkey/auth-client/fastify';
import {
  answerClientError,
  createHttpServer,
  describeError,
  infallible,
  SECURITY_HEADERS,
} from '@latchkey/service-kit';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify, LogController } from 'fastify';
import { type DestinationStream, stdSerializers } from 'pino';
import type { Config } from './config.js';
import database from './plugins/database.js';
import draining from './plugins/draining.js';
import jsonBody from './plugins/json-body.js';
import problems, { sendProblem } from './plugins/problems.js';
import { healthRoutes } from './routes/health.js';
import { notesRoutes } from './routes/notes.js';
import { profileRoute } from './routes/profile.js';

/** Builds the service: plugins, then routes. Migrates the database, does not listen. */
export async function buildApp(config: Config, logStream?: DestinationStream): Promise<FastifyInstance> {
  const app = fastify({
    bodyLimit: 16 * 1024,
    // A migration, or waiting for another replica's, takes as long as it takes; the database has limits of its own.
    pluginTimeout: 0,
    serverFactory: createHttpServer,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    clientErrorHandler: answerClientError,
    // What is refused before routing, such as a path that is not well encoded, reaches neither hooks nor error handler.
    frameworkErrors: (error, request, reply) => {
      sendProblem(request, reply.headers(SECURITY_HEADERS).header('x-request-id', request.id), describeError(error));
    },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, allErrors: true } },
    logController: new LogController({ disableRequestLogging: ({ url }) => url === '/livez' || url === '/readyz' }),
    genReqId: () => randomUUID(),
    logger: {
      level: config.logLevel,
      redact: { paths: ['err.detail', 'err.where'], remove: true },
      serializers: infallible({
        // The pattern of the route, not what was asked for: that may hold secrets. A connection that was reset has no address.
        req: ({ method, routeOptions: { url: path }, ip: remoteAddress = 'unknown' }: FastifyRequest) => {
          return { method, path, remoteAddress };
        },
        res: ({ statusCode }: FastifyReply) => ({ statusCode }),
        err: stdSerializers.err,
      }),
      ...(logStream && { stream: logStream }),
    },
  });

  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(SECURITY_HEADERS).header('x-request-id', request.id);
    done();
  });

  await app.register(draining);
  await app.register(problems);
  await app.register(jsonBody);
  await app.register(database, { config });
  await app.register(authGuard, {
    issuer: config.authIssuer,
    audience: config.tokenAudience,
    baseUrl: config.authUrl,
    ...(config.authClient && {
      client: config.authClient,
      maxStalenessMs: config.authMaxStalenessS * 1000,
      onStale: config.authOnStale,
      // In development auth-service may have been started without this client.
      onRefusedClient: config.production ? 'reject' : 'warn',
    }),
  });

  await app.register(notesRoutes);
  await app.register(profileRoute, { config });
  await app.register(healthRoutes);

  return app;
}
