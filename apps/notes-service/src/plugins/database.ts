import { fileURLToPath } from 'node:url';
import postgres from '@fastify/postgres';
import fp from 'fastify-plugin';
import { runner } from 'node-pg-migrate';
import type { WithConfig } from '../config.js';

/** Migrates the schema `notes` and opens the pool, `app.pg`. */
export default fp<WithConfig>(
  async (app, { config }) => {
    await runner({
      databaseUrl: { connectionString: config.databaseUrl, connectionTimeoutMillis: 5000 },
      dir: fileURLToPath(new URL('../../migrations', import.meta.url)),
      direction: 'up',
      schema: 'notes',
      createSchema: true,
      migrationsTable: 'migrations',
      advisoryLockMode: 'wait',
      log: () => undefined,
    });
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
