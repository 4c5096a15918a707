import fp from 'fastify-plugin';
import type { FactorSettings } from '../../config/sections/factors.js';
import { createCheck } from './check.js';
import { passkeysRoutes } from './passkeys-routes.js';
import { relatedOriginsRoute } from './related-origins-route.js';
import { relyingPartyOf } from './relying-party.js';

/** Passkeys (WebAuthn Level 3). A service without a domain has none, and none of their routes. */
export default fp<{ config: FactorSettings }>(
  async (app, { config }) => {
    const relyingParty = relyingPartyOf(config);
    app.decorate('passkeys', { check: relyingParty ? createCheck(app, relyingParty) : async () => undefined });
    if (!relyingParty) return;
    await app.register(passkeysRoutes, { relyingParty });
    await app.register(relatedOriginsRoute, { relyingParty });
  },
  { name: 'passkeys', dependencies: ['sessions'] },
);
