import { connectRedis } from '../../throttles/redis.js';
import { duration, type Finding, fail, ok, warn } from './finding.js';

const NAME = 'redis';
const SILENT = { info: () => undefined, warn: () => undefined };

/** Checks the Redis that keeps the counters of the throttles. */
export async function checkRedis(url: string): Promise<Finding[]> {
  const connected = await connectRedis(url, SILENT).catch((error: Error) => error);
  if (connected instanceof Error) {
    return [
      fail(NAME, connected.message, 'The service does not start without Redis: start Redis, or remove REDIS_URL.'),
    ];
  }
  const { redis, close } = connected;
  try {
    const before = performance.now();
    await redis.ping();
    const roundTripMs = performance.now() - before;
    // INFO, because managed services often forbid CONFIG.
    const info = readInfo(await redis.info());
    const found = ok(NAME, `Redis ${info.get('redis_version')}, ${duration(roundTripMs)} away`);
    if (info.get('role') === 'slave') {
      return [fail(NAME, 'it is a replica, which is read-only', 'Set REDIS_URL to the primary.')];
    }
    const policy = info.get('maxmemory_policy');
    if (policy === 'noeviction') return [found];
    const detail = `its maxmemory-policy is ${policy}: Redis drops counters when its memory is full`;
    return [found, warn(NAME, detail, 'Run: CONFIG SET maxmemory-policy noeviction')];
  } catch (error) {
    return [
      fail(
        NAME,
        `Redis refuses the service (${(error as Error).message})`,
        'Check REDIS_URL, and the rights of its user.',
      ),
    ];
  } finally {
    close();
  }
}

function readInfo(info: string): Map<string, string> {
  return new Map(
    info.split(/\r?\n/).map(line => {
      const [name = '', value = ''] = line.split(':', 2);
      return [name, value];
    }),
  );
}
