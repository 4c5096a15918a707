import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

const FOLDER = fileURLToPath(new URL('../migrations', import.meta.url));
const TABLE = 'migrations';

/**
 * Brings the database's schema up to date. Any number of replicas may do this at once: one works under an advisory
 * lock, which a killed one gives up with its connection, and each migration is one transaction.
 *
 * @returns names of the migrations that were applied
 */
export async function migrate(databaseUrl: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 5000 });
  await client.connect();
  try {
    if (await isUpToDate(client)) return [];
    // Heavy to load, and hardly ever needed.
    const { runner } = await import('node-pg-migrate');
    const applied = await runner({
      dbClient: client,
      dir: FOLDER,
      direction: 'up',
      schema: 'auth',
      createSchema: true,
      migrationsTable: TABLE,
      singleTransaction: false,
      advisoryLockMode: 'wait',
      log: () => undefined,
    });
    return applied.map(({ name }) => name);
  } finally {
    await client.end();
  }
}

async function isUpToDate(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ exists: boolean }>(`SELECT to_regclass('auth.${TABLE}') IS NOT NULL AS exists`);
  if (!rows[0]?.exists) return false;
  const applied = await client.query<{ name: string }>(`SELECT name FROM auth.${TABLE}`);
  const names = new Set(applied.rows.map(({ name }) => name));
  return (await readdir(FOLDER)).every(file => names.has(file.replace(/\.sql$/, '')));
}
