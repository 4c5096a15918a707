import fp from 'fastify-plugin';
import type { WithConfig } from '../config.js';
import type { CreateLimiter } from '../throttles/limit.js';
import { connectRedis } from '../throttles/redis.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** There unless the throttles are off. */
    createLimiter: CreateLimiter;
  }
}

/** Keeps the counters of the throttles where all replicas share them: in PostgreSQL, or in Redis when there is one. */
export default fp<WithConfig>(
  async (app, { config: { redisUrl, throttle } }) => {
    if (!throttle.enabled) return;
    const { RateLimiterPostgres, RateLimiterRedis } = await import('rate-limiter-flexible');

    if (redisUrl === undefined) {
      // Without the name that the library gives each statement: named, they are prepared, and PgBouncer before 1.21 in
      // transaction mode hands the next transaction a connection that does not have them.
      const storeClient = {
        query: ({ text, values }: { text: string; values: unknown[] }) => app.pg.query(text, values),
      };
      const table = { schemaName: 'auth', tableName: 'throttles', tableCreated: true, clearExpiredByTimeout: false };
      app.decorate('createLimiter', (keyPrefix, points, duration) => {
        const store = { storeClient, storeType: 'client', ...table };
        return new RateLimiterPostgres({ ...store, keyPrefix, points, duration });
      });
      return;
    }

    const { redis: storeClient, close } = await connectRedis(redisUrl, app.log);
    app.addHook('onClose', async () => close());
    app.decorate('createLimiter', (keyPrefix, points, duration) => {
      return new RateLimiterRedis({ storeClient, rejectIfRedisNotReady: true, keyPrefix, points, duration });
    });
  },
  { name: 'throttle-store', dependencies: ['database'] },
);
