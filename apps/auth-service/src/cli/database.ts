import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { nameOf, placeOf } from '@latchkey/service-kit/database';
import pg from 'pg';
import { prepare } from '../config/development.js';
import { type Config, loadSettings, type Settings } from '../config/settings.js';
import { migrator } from '../database/migrate.js';
import type { Origin } from '../events/recorder.js';

/** What a command needs: a connection, the settings, and the origin of its audit events. */
export type Context = { db: pg.Client; config: Config; origin: Origin };

/** What a command was asked about is not in the database. */
export class MissingError extends Error {}

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
  const settings = loadSettings();
  assertExists(settings);
  const { config, release } = await prepare(settings);
  try {
    if (config.migrateOnStart) await migrator.migrate(config.databaseUrl);
    const db = new pg.Client({ connectionString: config.databaseUrl, connectionTimeoutMillis: 5000 });
    // pg emits `error` as well; the pending query already rejects.
    db.on('error', () => undefined);
    await db.connect();
    try {
      return await command({ db, config, origin: ORIGIN });
    } catch (error) {
      // The operator may be in the wrong folder, or have the settings of another installation.
      if (error instanceof MissingError)
        error.message = `${error.message.replace(/\.$/, '')} (${describeDatabase(settings)}).`;
      throw error;
    } finally {
      // Rolls back what was not committed.
      await db.end();
    }
  } finally {
    await release();
  }
}

/** A command makes no database of its own where the service has never run. */
function assertExists({ databaseUrl, dataDir }: Settings): void {
  if (databaseUrl !== undefined || existsSync(join(dataDir, 'postgres'))) return;
  throw new Error(
    `There is no database in ${resolve(dataDir)}. Run the command in the folder where the service runs, or set DATA_DIR or DATABASE_URL.`,
  );
}

function describeDatabase({ databaseUrl, dataDir }: Settings): string {
  if (databaseUrl === undefined) return `embedded database in ${resolve(dataDir)}`;
  const place = placeOf(databaseUrl);
  return place ? `database ${place.database} at ${nameOf(place)}` : 'database of DATABASE_URL';
}
