import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

const FOLDER = fileURLToPath(new URL('../migrations', import.meta.url));
const TABLE = 'migrations';

// Any number that nobody else in the database locks: "auth" in ASCII.
const LOCK = 0x61757468;

/**
 * Brings the database's schema up to date, in one transaction. Any number of replicas may do this at once: one works while
 * the others wait for its lock, which ends with the transaction, so that it suits PgBouncer and a killed one gives it up.
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
    await client.query('BEGIN');
    await client.query('SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0');
    await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
    const applied = await runner({
      dbClient: client,
      dir: FOLDER,
      direction: 'up',
      migrationsSchema: 'auth',
      createMigrationsSchema: true,
      migrationsTable: TABLE,
      // Begins no other transaction, and commits ours.
      singleTransaction: true,
      noLock: true,
      log: () => undefined,
    });
    if (applied.length === 0) await client.query('COMMIT');
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
