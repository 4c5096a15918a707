import type { Prepared } from '@latchkey/service-kit';
import type { Config, Settings } from './config.js';

/** Without a database of its own, the service uses the embedded one that it shares with auth-service. */
export async function prepare(settings: Settings): Promise<Prepared<Config>> {
  const { databaseUrl } = settings;
  if (databaseUrl) return { config: { ...settings, databaseUrl }, release: async () => undefined };
  // A development dependency: the production image does not have it.
  const { startPostgres } = await import('@latchkey/embedded-postgres');
  const postgres = await startPostgres(settings.dataDir);
  return { config: { ...settings, databaseUrl: postgres.url }, folder: postgres.home, release: postgres.stop };
}
