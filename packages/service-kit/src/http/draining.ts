import type { FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether the service has been told to end. */
    isDraining(): boolean;
    /** From now on readiness is red, and every response ends its connection, so that none is open when the service closes. */
    startDraining(): void;
  }
}

/** Lets callers go elsewhere before the service ends. */
export const draining: FastifyPluginAsync = fp(
  async app => {
    let draining = false;
    app.decorate('isDraining', () => draining);
    app.decorate('startDraining', () => {
      draining = true;
    });
    app.addHook('preClose', async () => app.startDraining());
    app.addHook('onSend', (_request, reply, payload, done) => {
      if (draining) reply.header('connection', 'close');
      done(null, payload);
    });
  },
  { name: 'draining' },
);
