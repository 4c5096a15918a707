import type { Queryable } from '@latchkey/service-kit/database';
import type { FastifyBaseLogger } from 'fastify';
import { createPostgresStore } from './postgres-store.js';
import { connectRedis } from './redis.js';
import { createRedisStore } from './redis-store.js';
import type { ThrottleStore } from './store.js';

/** Opens the store that the replicas share: Redis when there is one, otherwise PostgreSQL. */
export async function openStore(
  redisUrl: string | undefined,
  db: Queryable,
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>,
): Promise<{ store: ThrottleStore; close: () => void }> {
  if (redisUrl === undefined) return { store: createPostgresStore(db), close: () => undefined };
  const { redis, close } = await connectRedis(redisUrl, log);
  return { store: createRedisStore(redis), close };
}
