import pg from 'pg';
import { type Config, loadSettings } from '../config.js';
import type { Origin } from '../data/audit-events.js';
import { prepare } from '../development.js';
import { migrate } from '../migrate.js';

/** What a command works with. */
export type Context = { db: pg.Client; config: Config; origin: Origin };

/** Runs a command in one transaction on the database that the environment names. */
export async function withDatabase<T>(command: (context: Context) => Promise<T>): Promise<T> {
  const { config, release } = await prepare(loadSettings());
  try {
    await migrate(config.databaseUrl);
    const db = new pg.Client({ connectionString: config.databaseUrl, connectionTimeoutMillis: 5000 });
    await db.connect();
    try {
      await db.query('BEGIN');
      const result = await command({
        db,
        config,
        origin: { requestId: null, address: null, userAgent: 'latchkey CLI' },
      });
      await db.query('COMMIT');
      return result;
    } finally {
      // What has not been committed is undone.
      await db.end();
    }
  } finally {
    await release();
  }
}
