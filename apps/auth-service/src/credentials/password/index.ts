import fp from 'fastify-plugin';
import type { MailSettings } from '../../config/sections/mail.js';
import type { PasswordSettings } from '../../config/sections/passwords.js';
import type { SecretsSettings } from '../../config/sections/secrets.js';
import type { Lifetimes } from '../../sessions/session.js';
import { changeRoute } from './change-route.js';
import hashing from './hashing-plugin.js';
import policy from './policy.js';
import { recoveryRoutes } from './recovery-routes.js';

/** Passwords: hashed and compared in threads of their own, judged when they are new, changed by their owner. */
export default fp<{ config: PasswordSettings & SecretsSettings & MailSettings & Lifetimes }>(
  async (app, { config }) => {
    await app.register(hashing, { config });
    await app.register(policy, { config });
    await app.register(changeRoute, { config });
    await app.register(recoveryRoutes, { config });
  },
  { name: 'password', dependencies: ['sessions', 'throttles', 'mail'] },
);
