import postgres from '@fastify/postgres';
import fp from 'fastify-plugin';
import type { WithConfig } from '../config.js';
import { migrate } from '../migrate.js';

/** Migrates the schema `notes` and opens the pool, `app.pg`. */
export default fp<WithConfig>(
  async (app, { config }) => {
    await migrate(config.databaseUrl);
    await app.register(postgres, {
      connectionString: config.databaseUrl,
      connectionTimeoutMillis: 2000,
      query_timeout: 6000,
    });
    // An idle connection that breaks must not end the process; the pool replaces it.
    app.pg.pool.on('error', error => app.log.warn({ err: error }, 'lost an idle database connection'));
  },
  { name: 'database' },
);
