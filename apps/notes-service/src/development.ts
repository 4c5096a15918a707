import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { keepSecret, type Prepared, provideDatabase } from '@latchkey/service-kit';
import type { Config, Settings } from './config.js';

/**
 * Fills in what is not set: the embedded database, which it shares with auth-service, and the secret of its client there,
 * which auth-service reads from the same file.
 */
export async function prepare({ authClientId, authClientSecret, ...settings }: Settings): Promise<Prepared<Config>> {
  const secret = authClientSecret ?? (await developmentSecret(settings.dataDir));
  const { databaseUrl, ...rest } = await provideDatabase(settings);
  return { config: { ...settings, authClient: { id: authClientId, secret }, databaseUrl }, ...rest };
}

function developmentSecret(dataDir: string): Promise<string> {
  return keepSecret(join(dataDir, 'notes-service-secret'), () => randomBytes(32).toString('base64url'));
}
