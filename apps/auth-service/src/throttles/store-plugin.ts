import fp from 'fastify-plugin';
import type { WithConfig } from '../config/settings.js';
import { settleAttempt, spendAttempt } from './postgres-store.js';
import { connectRedis } from './redis.js';
import { createRedisStore } from './redis-store.js';
import type { ThrottleStore } from './store.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** There unless the throttles are off. */
    throttleStore: ThrottleStore;
  }
}

/** Keeps the counters of the throttles where all replicas share them: in PostgreSQL, or in Redis when there is one. */
export default fp<WithConfig>(
  async (app, { config: { redisUrl, throttle } }) => {
    if (!throttle.enabled) return;
    if (redisUrl === undefined) {
      app.decorate('throttleStore', {
        spend: (...args) => spendAttempt(app.pg, ...args),
        settle: (...args) => settleAttempt(app.pg, ...args),
      });
      return;
    }
    const { redis, close } = await connectRedis(redisUrl, app.log);
    app.addHook('onClose', async () => close());
    app.decorate('throttleStore', createRedisStore(redis));
  },
  { name: 'throttle-store', dependencies: ['database'] },
);
