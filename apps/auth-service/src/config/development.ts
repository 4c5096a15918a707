import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { keepSecret, type Prepared, provideDatabase } from '@latchkey/service-kit';
import { REVOCATIONS_SCOPE } from '@latchkey/user-schema';
import { newClientSecret, parseSecrets } from './secrets.js';
import type { Config, Settings } from './settings.js';

/**
 * Fills in what is not set where there is an embedded database: that, and a secret beside it. There notes-service is a
 * client from the start, and reads its secret from the same folder. In a database of somebody's own nothing is made.
 */
export async function prepare(settings: Settings): Promise<Prepared<Config>> {
  const keep = (name: string, make: () => string) => keepSecret(join(settings.dataDir, name), make);
  const authSecrets =
    settings.authSecrets ?? parseSecrets(await keep('auth-secrets', () => `dev:${randomBytes(32).toString('base64')}`));
  const firstClient = settings.databaseUrl
    ? {}
    : {
        firstClient: {
          id: 'notes-service',
          secret: await keep('notes-service-secret', newClientSecret),
          scopes: [REVOCATIONS_SCOPE],
        },
      };
  const { databaseUrl, ...rest } = await provideDatabase(settings);
  return { config: { ...settings, ...firstClient, authSecrets, databaseUrl }, ...rest };
}
