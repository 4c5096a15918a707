import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import pg from 'pg';

// Any number that nobody else in the database locks: "notes" in ASCII.
const LOCK = 0x6e6f746573;

/**
 * Brings the schema `notes` up to date, in one transaction. Replicas that start at once wait for its lock, which ends with
 * the transaction: one that belonged to the connection would stay behind in PgBouncer, for others to wait for.
 */
export async function migrate(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 5000 });
  // The query that waits hears of it.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('BEGIN');
    await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
    const { rows } = await client.query<{ isMissing: boolean }>(
      `SELECT to_regnamespace('notes') IS NULL AS "isMissing"`,
    );
    const applied = await runner({
      dbClient: client,
      dir: fileURLToPath(new URL('../migrations', import.meta.url)),
      direction: 'up',
      schema: 'notes',
      // IF NOT EXISTS would take the right to make schemas, even where there is this one.
      createSchema: rows[0]?.isMissing === true,
      migrationsTable: 'migrations',
      // Begins no other transaction, and commits ours.
      singleTransaction: true,
      noLock: true,
      log: () => undefined,
    });
    if (applied.length === 0) await client.query('COMMIT');
  } finally {
    await client.end();
  }
}
