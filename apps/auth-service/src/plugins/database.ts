import postgres from '@fastify/postgres';
import fp from 'fastify-plugin';
import type { WithConfig } from '../config.js';
import { migrate } from '../migrate.js';

// No call waits longer than this for the database, so none outlives its caller's patience.
const CONNECT_TIMEOUT_MS = 2000;
const STATEMENT_TIMEOUT_MS = 5000;
const LIMITS = `SET statement_timeout = ${STATEMENT_TIMEOUT_MS}; SET lock_timeout = 2000;
  SET idle_in_transaction_session_timeout = 5000`;

/** Migrates the database and opens the pool, `app.pg`. */
export default fp<WithConfig>(
  async (app, { config }) => {
    const applied = await migrate(config.databaseUrl);
    if (applied.length > 0) app.log.info({ applied }, 'migrated the database');

    await app.register(postgres, {
      connectionString: config.databaseUrl,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      // When the server is silent, its own timeout cannot help.
      query_timeout: STATEMENT_TIMEOUT_MS + 1000,
      keepAlive: true,
      // Set here, not as start-up parameters: PgBouncer refuses those.
      onConnect: async client => void (await client.query(LIMITS)),
    });
    // An idle connection that breaks must not end the process; the pool replaces it.
    app.pg.pool.on('error', error => app.log.warn({ err: error }, 'lost an idle database connection'));
  },
  { name: 'database' },
);
