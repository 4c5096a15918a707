import fp from 'fastify-plugin';
import type { HttpSettings } from '../config/sections/http.js';
import { KeyNotReadyError } from '../http/errors.js';
import { createKeyRing, type KeyRing, type KeySettings } from './ring.js';
import { deleteGoneKeys } from './stored-keys.js';
import { wellKnownRoutes } from './well-known.js';

declare module 'fastify' {
  interface FastifyInstance {
    signingKeys: KeyRing;
  }
}

// Replicas are notified of changes; the interval covers lost notifications.
const RELOAD_EVERY_MS = 2000;

/** The signing keys, which all replicas share: follows their rotation and publishes their public halves. */
export default fp<{ config: KeySettings & HttpSettings }>(
  async (app, { config }) => {
    const ring = createKeyRing(config, app.log);
    app.decorate('signingKeys', ring);
    await app.follow('signing_keys', RELOAD_EVERY_MS, ring.load);

    app.requireForReadiness(() => {
      if (!ring.isReady()) throw new KeyNotReadyError();
    });
    app.cleanHourly(async client => {
      await deleteGoneKeys(client);
      return false;
    });
    const seconds = (ms: number | undefined) => (ms === undefined ? undefined : ms / 1000);
    app.gauge('latchkey_signing_key_age_seconds', () => seconds(ring.state().activeForMs));
    app.gauge('latchkey_signing_key_next_seconds', () => seconds(ring.state().nextInMs));
    app.gauge('latchkey_signing_keys_unopened', () => ring.state().unopened);
    await app.register(wellKnownRoutes, { config });
  },
  { name: 'keys', dependencies: ['database'] },
);
