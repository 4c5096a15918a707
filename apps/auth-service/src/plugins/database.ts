import postgres from '@fastify/postgres';
import fp from 'fastify-plugin';
import type { WithConfig } from '../config.js';
import { awaitMigrations, migrate } from '../migrate.js';

// No statement waits longer than this, so that its caller is told in time.
const CONNECT_TIMEOUT_MS = 2000;
const STATEMENT_TIMEOUT_MS = 5000;
// Where the role has limits of its own, those hold. Set here, not as start-up parameters: PgBouncer refuses those.
const LIMITS = `SELECT set_config(name, value, false)
  FROM (VALUES ('statement_timeout', '${STATEMENT_TIMEOUT_MS}'), ('lock_timeout', '2000'),
    ('idle_in_transaction_session_timeout', '5000')) AS limits (name, value)
  WHERE current_setting(name) = '0'`;

/** Migrates the database, or waits until somebody has, and opens the pool, `app.pg`. */
export default fp<WithConfig>(
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
      // When the server is silent, its own timeout cannot help.
      query_timeout: STATEMENT_TIMEOUT_MS + 1000,
      keepAlive: true,
      onConnect: async client => void (await client.query(LIMITS)),
    });
    // An idle connection that breaks must not end the process; the pool replaces it.
    app.pg.pool.on('error', error => app.log.warn({ err: error }, 'lost an idle database connection'));
  },
  { name: 'database' },
);
