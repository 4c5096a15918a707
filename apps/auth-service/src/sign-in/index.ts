import fp from 'fastify-plugin';
import type { FactorSettings } from '../config/sections/factors.js';
import type { SecretsSettings } from '../config/sections/secrets.js';
import { relyingPartyOf } from '../credentials/passkeys/relying-party.js';
import type { SessionLimits } from '../sessions/start.js';
import { passkeyRoutes } from './passkey-routes.js';
import { passwordRoute } from './password-route.js';
import { secondFactorRoute } from './second-factor-route.js';
import { stepUpRoute } from './step-up-route.js';

/** The ways to sign in: each proves who somebody is, and has `app.signIn` start the session. */
export default fp<{ config: FactorSettings & SecretsSettings & SessionLimits }>(
  async (app, { config }) => {
    await app.register(passwordRoute);
    await app.register(secondFactorRoute, { config });
    await app.register(stepUpRoute, { config });
    const relyingParty = relyingPartyOf(config);
    if (relyingParty) await app.register(passkeyRoutes, { relyingParty });
  },
  { name: 'sign-in', dependencies: ['password', 'factors'] },
);
