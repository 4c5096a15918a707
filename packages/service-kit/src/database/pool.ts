/// <reference types="@fastify/postgres" preserve="true" />
import postgres from '@fastify/postgres';
import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import type pg from 'pg';
import { BusyError } from '../errors.js';
import { connectionConfig, setLimits } from './connections.js';
import type { Migrator } from './migrations.js';
import { statementPreparer } from './prepared.js';

/** Options of {@link databasePool}. */
export interface DatabasePoolOptions {
  databaseUrl: string;
  /** As PostgreSQL shows its connections. */
  applicationName: string;
  migrator: Migrator;
  /** `false` waits until somebody else has applied the migrations. */
  migrateOnStart?: boolean;
}

/** Refuses a caller that would wait for a connection behind too many others. */
export class DatabaseBusyError extends BusyError {
  constructor() {
    super('Too many requests wait for the database.');
  }
}

// A database that responds serves as many within a fraction of a second.
const MAX_WAITING = 500;
// To open a connection and to plan its statements takes longer than most statements take. Gateways drop idle connections later.
const IDLE_TIMEOUT_MS = 300_000;

/** Applies the migrations, or waits until somebody has, and opens the pool, `app.pg`. */
export const databasePool: FastifyPluginAsync<DatabasePoolOptions> = fp(
  async (
    app: FastifyInstance,
    { databaseUrl, applicationName, migrator, migrateOnStart = true }: DatabasePoolOptions,
  ) => {
    if (migrateOnStart) {
      const applied = await migrator.migrate(databaseUrl);
      if (applied.length > 0) app.log.info({ applied }, 'migrated the database');
    } else {
      await migrator.awaitMigrations(databaseUrl, app.log);
    }

    const prepareStatements = statementPreparer(err =>
      app.log.warn({ err }, 'statements are not prepared from now on'),
    );
    await app.register(postgres, {
      ...connectionConfig(databaseUrl, applicationName),
      idleTimeoutMillis: IDLE_TIMEOUT_MS,
      onConnect: async client => {
        await setLimits(client);
        prepareStatements(client);
      },
    });
    const { pool } = app.pg;
    boundQueue(pool);
    // An idle connection that breaks must not end the process; the pool replaces it.
    pool.on('error', error => app.log.warn({ err: error }, 'lost an idle database connection'));
  },
  { name: 'database-pool' },
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
