import type { Queryable } from '@latchkey/service-kit/database';
import type { FastifyBaseLogger } from 'fastify';
import { settleAttempt, spendAttempt } from './postgres-store.js';
import { connectRedis } from './redis.js';
import { createRedisStore } from './redis-store.js';
import type { ThrottleStore } from './store.js';

/** Opens where all replicas share the counters: PostgreSQL, or Redis when there is one. */
export async function openStore(
  redisUrl: string | undefined,
  db: Queryable,
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>,
): Promise<{ store: ThrottleStore; close: () => Promise<void> }> {
  if (redisUrl === undefined) {
    const store: ThrottleStore = {
      spend: (...args) => spendAttempt(db, ...args),
      settle: (...args) => settleAttempt(db, ...args),
    };
    return { store, close: async () => undefined };
  }
  const { redis, close } = await connectRedis(redisUrl, log);
  return { store: createRedisStore(redis), close: async () => close() };
}
