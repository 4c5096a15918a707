import fp from 'fastify-plugin';
import type { WithConfig } from '../config.js';
import { createPasswords, type Passwords } from '../passwords.js';

declare module 'fastify' {
  interface FastifyInstance {
    passwords: Passwords;
  }
}

/** Hashes and verifies passwords: `app.passwords`. */
export default fp<WithConfig>(
  async (app, { config }) => {
    app.decorate('passwords', createPasswords(config.authSecrets, config.bcryptCost));
  },
  { name: 'passwords' },
);
