import fp from 'fastify-plugin';
import type { FactorSettings } from '../config/sections/factors.js';
import guards from './guards.js';
import { verifyRoute } from './verify-route.js';

/** Access tokens: what they say, who may pass with them, and `/auth/verify` for gateways. */
export default fp<{ config: FactorSettings }>(
  async (app, { config }) => {
    await app.register(guards, { config });
    await app.register(verifyRoute);
  },
  { name: 'tokens', dependencies: ['keys'] },
);
