import { once } from 'node:events';
import { createServer } from 'node:http';
import { DatabaseBusyError, isDatabaseUnavailable } from '@latchkey/service-kit/database';
import { oneAtATime } from '@latchkey/service-kit/http';
import fp from 'fastify-plugin';
import type { HttpSettings } from '../../config/sections/http.js';
import type { ServiceSettings } from '../../config/sections/service.js';
import { VERSION } from '../../config/version.js';
import { OverloadedError, StaleError } from '../errors.js';
import type { COUNTERS, GAUGES, HISTOGRAMS, Labels } from './definitions.js';
import { addRequestDurations, METHODS } from './request-durations.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Increases a counter; does nothing without METRICS_PORT. */
    count(what: keyof typeof COUNTERS, labels?: Labels, by?: number): void;
    /** Adds a measurement to a histogram; does nothing without METRICS_PORT. */
    observe(what: keyof typeof HISTOGRAMS, seconds: number): void;
    /** Adds a gauge, which is read at each scrape; `undefined` leaves it out. */
    gauge(name: keyof typeof GAUGES, read: () => number | undefined): void;
  }
}

// Prometheus needs one or two connections; more must not hold up the service.
const MAX_CONNECTIONS = 20;
const TIMEOUT_MS = 5000;

/** Serves metrics to Prometheus, on a port of its own that no gateway forwards. */
export default fp<{ config: HttpSettings & Pick<ServiceSettings, 'host'> }>(
  async (app, { config: { host, metricsPort } }) => {
    if (metricsPort === undefined) {
      app.decorate('count', () => undefined);
      app.decorate('observe', () => undefined);
      app.decorate('gauge', () => undefined);
      return;
    }
    // Only loaded with METRICS_PORT.
    const { createRegistry } = await import('./registry.js');
    const { registry, count, observe, gauge } = createRegistry(VERSION);
    const takeNote = addRequestDurations(registry);
    app.decorate('count', count);
    app.decorate('observe', observe);
    app.decorate('gauge', gauge);

    app.addHook('onResponse', (request, reply, done) => {
      const method = METHODS.has(request.method) ? request.method : 'other';
      takeNote(method, request.routeOptions.url ?? 'unknown', reply.statusCode, reply.elapsedTime / 1000);
      done();
    });
    app.onEarlyResponse((route, status, seconds) => takeNote('GET', route, status, seconds));
    app.addHook('onError', (_request, _reply, error, done) => {
      if (error instanceof OverloadedError) count('latchkey_hash_refusals_total');
      else if (error instanceof DatabaseBusyError) count('latchkey_database_refusals_total');
      else if (isOfDatabase(error)) count('latchkey_database_errors_total');
      done();
    });

    // Requests that arrive meanwhile share one rendering.
    let rendering: Promise<string> | undefined;
    const render = () => {
      rendering ??= registry.metrics().finally(() => {
        rendering = undefined;
      });
      return rendering;
    };
    const listener = oneAtATime((request, response) => {
      const isKnown = request.method === 'GET' && request.url?.split('?', 1)[0] === '/metrics';
      if (!isKnown) return void response.writeHead(404).end();
      render().then(
        text => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
        error => {
          app.log.error({ err: error }, 'cannot tell the metrics');
          response.writeHead(500).end();
        },
      );
    });
    const server = createServer({ requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS }, listener);
    // One that sends nothing and reads nothing must not take the place of another.
    server.timeout = TIMEOUT_MS;
    server.maxConnections = MAX_CONNECTIONS;
    app.addHook('onReady', async () => {
      server.listen(metricsPort, host);
      await once(server, 'listening').catch(cause => {
        throw new Error(`METRICS_PORT ${metricsPort} cannot be listened on (${cause.code}).`, { cause });
      });
    });
    app.addHook('onClose', async () => {
      server.close();
      server.closeAllConnections();
    });
  },
  { name: 'metrics' },
);

function isOfDatabase(error: Error): boolean {
  return error instanceof StaleError || isDatabaseUnavailable(error) || isDatabaseUnavailable(error.cause);
}
