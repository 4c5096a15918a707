import type { FastifyBaseLogger } from 'fastify';
import type { Redis } from 'ioredis';

const CONNECT_TIMEOUT_MS = 2000;
const COMMAND_TIMEOUT_MS = 1000;

/**
 * Connects to Redis, and reconnects when the connection is lost. While there is no connection, commands fail at once: none
 * is queued, and none is sent twice.
 */
export async function connectRedis(
  url: string,
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>,
): Promise<{ redis: Redis; close: () => void }> {
  // Heavy to load, and only needed with REDIS_URL.
  const { Redis } = await import('ioredis');
  const redis = new Redis(url, {
    keyPrefix: 'latchkey:',
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
  });
  let isUp = false;
  let cause: Error | undefined;
  redis.on('error', error => {
    cause = error;
  });
  redis.on('ready', () => {
    isUp = true;
    log.info('connected to Redis');
  });
  redis.on('close', () => {
    if (isUp) log.warn({ err: cause }, 'lost Redis');
    isUp = false;
  });
  const close = () => {
    isUp = false;
    redis.disconnect();
  };
  try {
    await redis.connect();
    return { redis, close };
  } catch (error) {
    close();
    throw new Error(`Redis does not respond (${(cause ?? (error as Error)).message}). Check REDIS_URL.`);
  }
}
