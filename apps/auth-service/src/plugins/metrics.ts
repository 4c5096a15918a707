import { once } from 'node:events';
import { createServer } from 'node:http';
import fp from 'fastify-plugin';
import type { WithConfig } from '../config.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Counts something that the metrics tell; does nothing when nobody asks for them. */
    count(what: keyof typeof COUNTERS, labels?: Record<string, string>): void;
  }
}

const COUNTERS = {
  latchkey_hash_refusals_total: { help: 'Requests refused because a hash would have had to wait too long', labels: [] },
  latchkey_throttle_blocks_total: { help: 'Blocks that the throttles have begun, by limit', labels: ['limit'] },
  latchkey_throttled_total: { help: 'Requests refused by the throttles, by limit', labels: ['limit'] },
  latchkey_breach_check_failures_total: { help: 'Times the list of breached passwords did not answer', labels: [] },
};

/** Tells Prometheus what goes on, on a port of its own that no gateway passes on. */
export default fp<WithConfig>(
  async (app, { config: { host, metricsPort } }) => {
    if (metricsPort === undefined) {
      app.decorate('count', () => undefined);
      return;
    }
    // Not everybody has a Prometheus.
    const { collectDefaultMetrics, Counter, Gauge, Registry } = await import('prom-client');
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    const counters = new Map(
      Object.entries(COUNTERS).map(([name, { help, labels }]) => {
        return [name, new Counter({ name, help, labelNames: labels, registers: [registry] })];
      }),
    );
    app.decorate('count', (what, labels = {}) => counters.get(what)?.inc(labels));

    const gauges: [name: string, help: string, value: () => number][] = [
      ['latchkey_hash_lane_waiting', 'Hashes that wait for their turn', () => app.hashLane.state().waiting],
      ['latchkey_hash_lane_running', 'Hashes that run', () => app.hashLane.state().running],
      [
        'latchkey_hash_lane_wait_seconds',
        'How long a newcomer would wait for a hash',
        () => app.hashLane.state().predictedWaitMs / 1000,
      ],
    ];
    for (const [name, help, value] of gauges) {
      new Gauge({
        name,
        help,
        registers: [registry],
        collect() {
          this.set(value());
        },
      });
    }

    const server = createServer(async (request, response) => {
      const isKnown = request.method === 'GET' && request.url === '/metrics';
      if (!isKnown) return void response.writeHead(404).end();
      response.writeHead(200, { 'content-type': registry.contentType }).end(await registry.metrics());
    });
    app.addHook('onReady', async () => {
      server.listen(metricsPort, host);
      await once(server, 'listening');
    });
    app.addHook('onClose', async () => {
      server.close();
      server.closeAllConnections();
    });
  },
  { name: 'metrics' },
);
