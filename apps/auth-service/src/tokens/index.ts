import fp from 'fastify-plugin';
import guards from './guards.js';
import { verifyRoute } from './verify-route.js';

/** Access tokens: what they say, who may pass with them, and `/auth/verify` for gateways. */
export default fp(
  async app => {
    await app.register(guards);
    await app.register(verifyRoute);
  },
  { name: 'tokens', dependencies: ['keys'] },
);
