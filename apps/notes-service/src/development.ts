import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { keepSecret, type Prepared } from '@latchkey/service-kit';
import type { Config, Settings } from './config.js';

/**
 * Fills in what is not set: the embedded database, which it shares with auth-service, and the secret of its client there,
 * which auth-service reads from the same file.
 */
export async function prepare({ authClientId, authClientSecret, ...settings }: Settings): Promise<Prepared<Config>> {
  const secret = authClientSecret ?? (await developmentSecret(settings.dataDir));
  const authClient = { id: authClientId, secret };
  const { databaseUrl } = settings;
  if (databaseUrl) return { config: { ...settings, authClient, databaseUrl }, release: async () => undefined };
  // A development dependency: the production image does not have it.
  const { startPostgres } = await import('@latchkey/embedded-postgres');
  const postgres = await startPostgres(settings.dataDir);
  const config = { ...settings, authClient, databaseUrl: postgres.url };
  return { config, folder: postgres.home, release: postgres.stop };
}

function developmentSecret(dataDir: string): Promise<string> {
  return keepSecret(join(dataDir, 'notes-service-secret'), () => randomBytes(32).toString('base64url'));
}
