import { type FastifyInstance, fastify } from 'fastify';
import { type DestinationStream, levels } from 'pino';
import { trustedProxies } from '../settings/trusted-proxies.js';
import { crossOrigin } from './cors.js';
import { createEarlyResponses } from './early-responses.js';
import { addHealth, draining } from './health.js';
import { jsonBody } from './json-body.js';
import { keepTick } from './kept-tick.js';
import { problemHandler } from './problem-handler.js';
import { createRequestIds } from './request-ids.js';
import { responseHeaders, securityHeaders } from './response-headers.js';
import { serverOptions } from './server-options.js';

/** Options of {@link createService}. */
export interface ServiceOptions {
  logLevel: string;
  /** Standard output when not given. */
  logStream?: DestinationStream | undefined;
  /** Where clients reach it. Over https browsers are told to use nothing else. */
  publicUrl?: string;
  /** CIDR blocks, or single addresses, of the proxies whose forwarded headers count. */
  trustProxy?: string[];
  /** Origins of the front ends that may call the routes whose `audience` is `browsers` from elsewhere. */
  corsOrigins?: readonly string[];
}

/**
 * Creates a Fastify app with what every service has: limits, request ids, response headers, problems, strict JSON bodies,
 * draining, and `/livez` and `/readyz`. Does not listen. A route may say whom it is for, as `config.audience`, and with
 * `logLevel` that only its faults are logged.
 *
 * @param wire registers what is the service's own; the app is closed when it throws
 */
export async function createService(
  options: ServiceOptions,
  wire: (app: FastifyInstance) => Promise<void>,
): Promise<FastifyInstance> {
  keepTick();
  const headers = securityHeaders(options.publicUrl);
  const isTrusted = trustedProxies(options.trustProxy ?? []);
  const requestIds = createRequestIds(isTrusted);
  const early = createEarlyResponses(requestIds);
  const app = fastify(serverOptions(options, { headers, isTrusted, requestIds, wrap: early.wrap }));
  try {
    // A route that is to be quieter than the service must not be louder where the service is quieter still.
    app.addHook('onRoute', route => {
      if (route.logLevel && rankOf(route.logLevel) <= rankOf(options.logLevel)) delete route.logLevel;
    });
    app.decorate('respondEarly', early.add).decorate('onEarlyResponse', early.onResponse);
    app.decorate('stopEarlyResponses', early.stop);
    await app.register(responseHeaders, { headers });
    await app.register(crossOrigin, { origins: options.corsOrigins ?? [] });
    await app.register(draining);
    await app.register(problemHandler);
    await app.register(jsonBody);
    const registerHealth = addHealth(app);
    await wire(app);
    // Behind what describes the routes.
    registerHealth();
    return app;
  } catch (error) {
    await app.close();
    throw error;
  }
}

function rankOf(level: string): number {
  return levels.values[level] ?? Number.POSITIVE_INFINITY;
}
