import { databasePool } from '@latchkey/service-kit/database';
import fp from 'fastify-plugin';
import type { DatabaseSettings } from '../config/sections/database.js';
import { migrator } from './migrate.js';

/** Migrates the database, or waits until another process has, and opens the pool, `app.pg`. */
export default fp<{ config: DatabaseSettings }>(
  async (app, { config }) => {
    await app.register(databasePool, {
      databaseUrl: config.databaseUrl,
      applicationName: 'auth-service',
      migrator,
      migrateOnStart: config.migrateOnStart,
    });
    const { pool } = app.pg;
    app.count('latchkey_database_connections_opened_total', {}, pool.totalCount);
    pool.on('connect', () => app.count('latchkey_database_connections_opened_total'));
    pool.on('remove', () => app.count('latchkey_database_connections_closed_total'));
    pool.on('error', () => app.count('latchkey_database_connections_lost_total'));
    app.gauge('latchkey_database_pool_connections', () => pool.totalCount);
    app.gauge('latchkey_database_pool_idle_connections', () => pool.idleCount);
    app.gauge('latchkey_database_pool_max_connections', () => pool.options.max);
    app.gauge('latchkey_database_pool_waiting', () => pool.waitingCount);
  },
  { name: 'pool', dependencies: ['metrics'] },
);
