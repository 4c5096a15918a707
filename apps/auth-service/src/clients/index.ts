import fp from 'fastify-plugin';
import type { HttpSettings } from '../config/sections/http.js';
import type { TokenSettings } from '../config/sections/tokens.js';
import type { FirstClient } from '../config/settings.js';
import { ensureFirstClient } from './first-client.js';
import { oauthRoutes } from './oauth-routes.js';

/** Services that call with credentials of their own, and the OAuth endpoints for them. */
export default fp<{ config: HttpSettings & TokenSettings & { firstClient?: FirstClient } }>(
  async (app, { config }) => {
    if (config.firstClient) await ensureFirstClient(app.pg, config.firstClient, app.log);
    await app.register(oauthRoutes, { config });
  },
  { name: 'clients', dependencies: ['sessions'] },
);
