import postgres from '@fastify/postgres';
import fp from 'fastify-plugin';
import type pg from 'pg';
import type { DatabaseSettings } from '../config/sections/database.js';
import { DatabaseBusyError } from '../http/errors.js';
import { awaitMigrations, migrate } from './migrate.js';

// No statement waits longer than this, so that its caller is told in time.
const CONNECT_TIMEOUT_MS = 2000;
const STATEMENT_TIMEOUT_MS = 5000;
/** How long a statement is waited for, in milliseconds: when the server is silent, its own timeout cannot help. */
export const QUERY_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 1000;
// A database that answers serves as many within a fraction of a second.
const MAX_WAITING = 500;
/** Sets limits where the role has none of its own. Not as start-up parameters: PgBouncer refuses those. */
export const LIMITS = `SELECT set_config(name, value, false)
  FROM (VALUES ('statement_timeout', '${STATEMENT_TIMEOUT_MS}'), ('lock_timeout', '2000'),
    ('idle_in_transaction_session_timeout', '5000')) AS limits (name, value)
  WHERE current_setting(name) = '0'`;

/** Migrates the database, or waits until somebody has, and opens the pool, `app.pg`. */
export default fp<{ config: DatabaseSettings }>(
  async (app, { config }) => {
    if (config.migrateOnStart) {
      const applied = await migrate(config.databaseUrl);
      if (applied.length > 0) app.log.info({ applied }, 'migrated the database');
    } else {
      await awaitMigrations(config.databaseUrl, app.log);
    }

    await app.register(postgres, {
      connectionString: config.databaseUrl,
      application_name: 'auth-service',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
      keepAlive: true,
      onConnect: async client => void (await client.query(LIMITS)),
    });
    const { pool } = app.pg;
    boundQueue(pool);
    // An idle connection that breaks must not end the process; the pool replaces it.
    pool.on('error', error => app.log.warn({ err: error }, 'lost an idle database connection'));

    app.count('latchkey_database_connections_opened_total', {}, pool.totalCount);
    pool.on('connect', () => app.count('latchkey_database_connections_opened_total'));
    pool.on('remove', () => app.count('latchkey_database_connections_closed_total'));
    pool.on('error', () => app.count('latchkey_database_connections_lost_total'));
    app.gauge('latchkey_database_pool_connections', 'Database connections of the pool', () => pool.totalCount);
    app.gauge('latchkey_database_pool_idle_connections', 'Those of them that nobody uses', () => pool.idleCount);
    app.gauge('latchkey_database_pool_max_connections', 'As many as there may be', () => pool.options.max);
    app.gauge('latchkey_database_pool_waiting', 'Callers that wait for a database connection', () => pool.waitingCount);
  },
  { name: 'pool', dependencies: ['metrics'] },
);

/** Refuses a caller at once when as many wait for a connection as there may. */
function boundQueue(pool: pg.Pool): void {
  const connect = pool.connect.bind(pool) as (callback?: ConnectCallback) => Promise<pg.PoolClient>;
  pool.connect = ((callback?: ConnectCallback) => {
    if (pool.waitingCount < MAX_WAITING) return connect(callback);
    const error = new DatabaseBusyError();
    if (!callback) return Promise.reject(error);
    return callback(error, undefined, () => undefined);
  }) as pg.Pool['connect'];
}

type ConnectCallback = (error: Error | undefined, client: pg.PoolClient | undefined, release: () => void) => void;
