import fp from 'fastify-plugin';
import type { SessionLimits } from '../sessions/start.js';
import { meRoute } from './me-route.js';
import { deleteOldKeys } from './sign-up.js';
import { signUpRoute } from './sign-up-route.js';

const BATCH = 1000;

/** Accounts: how they are made, and what their owners see of them. */
export default fp<{ config: SessionLimits }>(
  async (app, { config }) => {
    app.cleanHourly(async client => (await deleteOldKeys(client, BATCH)) === BATCH);
    await app.register(signUpRoute, { config });
    await app.register(meRoute);
  },
  { name: 'accounts', dependencies: ['password'] },
);
