import type { Queryable } from '@latchkey/service-kit/database';
import type { FastifyBaseLogger } from 'fastify';
import type { FirstClient } from '../config/settings.js';
import { SERVICE_ORIGIN } from '../events/recorder.js';
import { findDifferences } from './difference.js';
import { hashClientSecret } from './secret.js';
import { findClient, insertClient } from './stored-clients.js';

/**
 * Creates the client that the configuration names, for development. An existing client stays as it is: a developer may have
 * given it another secret or other scopes.
 */
export async function ensureFirstClient(
  db: Queryable,
  client: FirstClient,
  log: Pick<FastifyBaseLogger, 'warn'>,
): Promise<void> {
  const { id, secret, scopes } = client;
  if (await insertClient(db, { id, secretHash: hashClientSecret(secret), scopes }, SERVICE_ORIGIN)) return;
  const known = await findClient(db, id);
  const differences = known ? findDifferences(known, client) : [];
  if (differences.length > 0)
    log.warn({ clientId: id, differences }, 'the client is not the one of the development settings');
}
