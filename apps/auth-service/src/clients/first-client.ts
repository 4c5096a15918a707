import fp from 'fastify-plugin';
import type { WithConfig } from '../config/settings.js';
import { findDifferences } from './difference.js';
import { hashClientSecret } from './secret.js';
import { findClient, insertClient } from './stored-clients.js';

/**
 * Makes the client that the configuration names, so that in development nobody has to. One that is there already stays as
 * it is: somebody may have given it another secret or other scopes.
 */
export default fp<WithConfig>(
  async (app, { config: { firstClient } }) => {
    if (!firstClient) return;
    const { id, secret, scopes } = firstClient;
    const origin = { requestId: null, address: null, userAgent: 'auth-service' };
    if (await insertClient(app.pg, { id, secretHash: hashClientSecret(secret), scopes }, origin)) return;
    const known = await findClient(app.pg, id);
    const differences = known ? findDifferences(known, firstClient) : [];
    if (differences.length > 0)
      app.log.warn({ clientId: id, differences }, 'the client is not the one of the development settings');
  },
  { name: 'first-client', dependencies: ['database'] },
);
