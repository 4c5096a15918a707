import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Prepared } from '@latchkey/service-kit';
import type { Config, Settings } from './config.js';
import { parseSecrets, type Secrets } from './secrets.js';

/** Fills in what a production deployment must set: a database and a secret, both kept in the data folder. */
export async function prepare(settings: Settings): Promise<Prepared<Config>> {
  const authSecrets = settings.authSecrets ?? (await developmentSecrets(settings.dataDir));
  const { databaseUrl } = settings;
  if (databaseUrl) return { config: { ...settings, databaseUrl, authSecrets }, release: async () => undefined };
  // A development dependency: the production image does not have it.
  const { startPostgres } = await import('@latchkey/embedded-postgres');
  const postgres = await startPostgres(settings.dataDir);
  const config = { ...settings, databaseUrl: postgres.url, authSecrets };
  return { config, folder: postgres.home, release: postgres.stop };
}

async function developmentSecrets(dataDir: string): Promise<Secrets> {
  const file = join(dataDir, 'auth-secrets');
  await mkdir(dataDir, { recursive: true });
  const draft = `${file}.${process.pid}`;
  await writeFile(draft, `dev:${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  // Linking is atomic and never replaces: the file is whole, and the first of several writers wins.
  await link(draft, file).catch(error => {
    if (error.code !== 'EEXIST') throw error;
  });
  await rm(draft);
  return parseSecrets((await readFile(file, 'utf8')).trim());
}
