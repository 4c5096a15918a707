import { ignoreMissing } from './optional.js';

/**
 * Takes the database that is named, or starts the embedded one in `dataDir`.
 *
 * @throws Error when none is named and `@latchkey/embedded-postgres` is not installed
 */
export async function provideDatabase({ databaseUrl, dataDir }: { databaseUrl?: string; dataDir: string }): Promise<{
  databaseUrl: string;
  /** Of the embedded database. */
  folder?: string;
  /** Ends what was started. */
  release: () => Promise<void>;
}> {
  if (databaseUrl) return { databaseUrl, release: async () => undefined };
  // A development dependency: the production image does not have it.
  const embedded = await import('@latchkey/embedded-postgres').catch(ignoreMissing);
  if (!embedded)
    throw new Error('Set DATABASE_URL, or add @latchkey/embedded-postgres to the devDependencies of the service.');
  const { url, home, stop } = await embedded.startPostgres(dataDir);
  return { databaseUrl: url, folder: home, release: stop };
}
