import pg from 'pg';
import { prepare } from '../config/development.js';
import { type Config, loadSettings } from '../config/settings.js';
import { migrator } from '../database/migrate.js';
import type { Origin } from '../events/recorder.js';

/** What a command needs: a connection, the settings, and the origin of its audit events. */
export type Context = { db: pg.Client; config: Config; origin: Origin };

const ORIGIN: Origin = { requestId: null, address: null, userAgent: 'latchkey CLI', actor: 'operator' };

/** Runs a command in one transaction on the database that the environment names. */
export function withDatabase<T>(command: (context: Context) => Promise<T>): Promise<T> {
  return withConnection(async context => {
    await context.db.query('BEGIN');
    // Another transaction may hold the lock and never end.
    await context.db.query("SET LOCAL lock_timeout = '10s'");
    const result = await command(context);
    await context.db.query('COMMIT');
    return result;
  });
}

/** Runs a command that begins and ends its transactions itself. */
export async function withConnection<T>(command: (context: Context) => Promise<T>): Promise<T> {
  const { config, release } = await prepare(loadSettings());
  try {
    if (config.migrateOnStart) await migrator.migrate(config.databaseUrl);
    const db = new pg.Client({ connectionString: config.databaseUrl, connectionTimeoutMillis: 5000 });
    // pg emits `error` as well; the pending query already rejects.
    db.on('error', () => undefined);
    await db.connect();
    try {
      return await command({ db, config, origin: ORIGIN });
    } finally {
      // Rolls back what was not committed.
      await db.end();
    }
  } finally {
    await release();
  }
}
