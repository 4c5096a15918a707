import type { Queryable } from '@latchkey/service-kit/database';
import type { FastifyBaseLogger } from 'fastify';
import { deriveKey } from '../config/secrets.js';
import type { SecretsSettings } from '../config/sections/secrets.js';
import type { ThrottleSettings } from '../config/sections/throttles.js';
import { type AttemptedAccount, createThrottles } from './limits.js';
import { openStore } from './open-store.js';
import type { Counted } from './store.js';

type Settings = ThrottleSettings & SecretsSettings;

const SILENT: Pick<FastifyBaseLogger, 'info' | 'warn'> = { info: () => undefined, warn: () => undefined };
const NEVER = { settle: () => Promise.reject(new Error('nothing is settled here')) };

/** Opens what reads and forgives the failures at accounts, in the store that the service counts them in. */
export async function openLockouts(db: Queryable, { throttle, authSecrets, redisUrl }: Settings) {
  const { store, close } = await openStore(redisUrl, db, SILENT);
  const hashKey = deriveKey(authSecrets[0], 'throttle-keys');
  const { forgivenessOf } = createThrottles(throttle, hashKey, store, NEVER);
  return {
    /** The counters with failures at an account. */
    read: (account: AttemptedAccount): Promise<Counted[]> => store.read(forgivenessOf(account).map(({ key }) => key)),
    /** Forgives the failures at an account; returns the counters as they were. */
    async forgive(account: AttemptedAccount): Promise<Counted[]> {
      const forgiveness = forgivenessOf(account);
      const counted = await store.read(forgiveness.map(({ key }) => key));
      const due = forgiveness.filter(({ key }) => counted.some(counter => counter.key === key));
      if (due.length > 0) await store.settle(undefined, due);
      return counted;
    },
    close,
  };
}
