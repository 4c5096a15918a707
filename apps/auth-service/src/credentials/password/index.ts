import fp from 'fastify-plugin';
import type { WithConfig } from '../../config/settings.js';
import { changeRoute } from './change-route.js';
import hashing from './hashing-plugin.js';
import policy from './policy-plugin.js';

/** Passwords: hashed and compared in threads of their own, judged when they are new, changed by their owner. */
export default fp<WithConfig>(
  async (app, { config }) => {
    await app.register(hashing, { config });
    await app.register(policy, { config });
    await app.register(changeRoute, { config });
  },
  { name: 'password', dependencies: ['sessions', 'throttles'] },
);
