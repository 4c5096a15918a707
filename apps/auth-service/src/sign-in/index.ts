import fp from 'fastify-plugin';
import type { SecretsSettings } from '../config/sections/secrets.js';
import type { SessionLimits } from '../sessions/start.js';
import { passwordRoute } from './password-route.js';
import { secondFactorRoute } from './second-factor-route.js';
import { stepUpRoute } from './step-up-route.js';

/** The ways to sign in: each proves who somebody is, and has `app.signIn` start the session. */
export default fp<{ config: SecretsSettings & SessionLimits }>(
  async (app, { config }) => {
    await app.register(passwordRoute);
    await app.register(secondFactorRoute, { config });
    await app.register(stepUpRoute, { config });
  },
  { name: 'sign-in', dependencies: ['password', 'factors'] },
);
