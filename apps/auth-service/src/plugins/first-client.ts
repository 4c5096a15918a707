import fp from 'fastify-plugin';
import { hashClientSecret, isClientSecret } from '../clients/secret.js';
import type { WithConfig } from '../config.js';
import { findClient, insertClient, replaceClientSecret } from '../data/clients.js';

/** Makes the client that the configuration names, so that in development nobody has to. */
export default fp<WithConfig>(
  async (app, { config: { firstClient } }) => {
    if (!firstClient) return;
    const { id, secret, scopes } = firstClient;
    const origin = { requestId: null, address: null, userAgent: 'auth-service' };
    const secretHash = hashClientSecret(secret);
    if (await insertClient(app.pg, { id, secretHash, scopes }, origin)) return;
    const known = await findClient(app.pg, id);
    if (known && isClientSecret(secret, known.secretHashes)) return;
    await replaceClientSecret(app.pg, { id, secretHash, graceS: 0 }, origin);
  },
  { name: 'first-client', dependencies: ['database'] },
);
