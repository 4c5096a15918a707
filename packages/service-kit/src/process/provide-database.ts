/** Takes the database that is named, or starts the embedded one in `dataDir`. */
export async function provideDatabase({ databaseUrl, dataDir }: { databaseUrl?: string; dataDir: string }): Promise<{
  databaseUrl: string;
  /** Of the embedded database. */
  folder?: string;
  /** Ends what was started. */
  release: () => Promise<void>;
}> {
  if (databaseUrl) return { databaseUrl, release: async () => undefined };
  // A development dependency: the production image does not have it.
  const { startPostgres } = await import('@latchkey/embedded-postgres');
  const { url, home, stop } = await startPostgres(dataDir);
  return { databaseUrl: url, folder: home, release: stop };
}
