import { readdir } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import type { FastifyBaseLogger } from 'fastify';
import pg from 'pg';
import { kindOfDatabaseError } from './error-kinds.js';
import type { Queryable } from './transactions.js';

/** Options of {@link createMigrator}. */
export interface MigratorOptions {
  /** Of everything that the service has in the database. It is made when it is missing. */
  schema: string;
  /** Folder of the migrations. */
  folder: string;
  /** Key of the advisory lock: any number that nobody else in the database locks. */
  lock: number;
  /** What applies the migrations where the service does not. */
  command?: string;
}

/** Names of migrations, in order. */
export interface Migrations {
  applied: string[];
  /** Those that the database lacks. */
  pending: string[];
  /** Those that a newer service has applied. */
  unknown: string[];
}

/** Keeps the schema of a service up to date. */
export interface Migrator {
  /**
   * Applies the pending migrations, in one transaction. Any number of replicas may do this at once: one works while the
   * others wait for its lock, which ends with the transaction, so that it suits PgBouncer and a killed one gives it up.
   *
   * A migration that waits for a long transaction, such as a `pg_dump`, keeps everybody else waiting behind it. So it gives up after
   * 3 seconds, lets the others through and begins again, for up to 10 minutes.
   *
   * @returns names of the migrations that were applied
   */
  migrate(databaseUrl: string): Promise<string[]>;
  /**
   * Waits until somebody else has applied them.
   *
   * @throws Error that names what is missing when nobody does within a minute
   */
  awaitMigrations(databaseUrl: string, log: Pick<FastifyBaseLogger, 'info'>): Promise<void>;
  /** Compares the migrations that were applied with those that this service knows. */
  findMigrations(db: Queryable): Promise<Migrations>;
  /** Runs work in a transaction while nobody else migrates. */
  runAlone(databaseUrl: string, work: (client: pg.Client) => Promise<unknown>): Promise<void>;
}

const TABLE = 'migrations';
const LOCK_NOT_AVAILABLE = '55P03';
const CONNECT_TIMEOUT_MS = 5000;
const LOCK_TIMEOUT_MS = 3000;
const RETRY_AFTER_MS = 2000;
const RETRY_AT_MOST_MS = 600_000;
const AWAIT_EVERY_MS = 500;
const AWAIT_AT_MOST_MS = 60_000;

export function createMigrator({ schema, folder, lock, command }: MigratorOptions): Migrator {
  const findApplied = async (db: Queryable): Promise<string[]> => {
    const table = `${schema}.${TABLE}`;
    const { rows } = await db.query<{ exists: boolean }>('SELECT to_regclass($1) IS NOT NULL AS exists', [table]);
    if (!rows[0]?.exists) return [];
    const applied = await db.query<{ name: string }>(`SELECT name FROM ${table} ORDER BY name`);
    return applied.rows.map(({ name }) => name);
  };
  const findMigrations = async (db: Queryable): Promise<Migrations> => {
    const known = (await readdir(folder)).map(file => file.replace(/\.sql$/, '')).sort();
    const applied = await findApplied(db);
    return {
      applied,
      pending: known.filter(name => !applied.includes(name)),
      unknown: applied.filter(name => !known.includes(name)),
    };
  };
  const beginAlone = async (client: pg.Client) => {
    await client.query('BEGIN');
    await client.query('SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0');
    await client.query('SELECT pg_advisory_xact_lock($1)', [lock]);
  };

  const migrateOnce = async (client: pg.Client): Promise<string[]> => {
    if ((await findMigrations(client)).pending.length === 0) return [];
    // Heavy to load, and hardly ever needed.
    const { runner } = await import('node-pg-migrate');
    await beginAlone(client);
    await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
    const { rows } = await client.query<{ isMissing: boolean }>('SELECT to_regnamespace($1) IS NULL AS "isMissing"', [
      schema,
    ]);
    const applied = await runner({
      dbClient: client,
      dir: folder,
      direction: 'up',
      migrationsSchema: schema,
      // IF NOT EXISTS would take the right to make schemas, even where there is this one.
      createMigrationsSchema: rows[0]?.isMissing === true,
      migrationsTable: TABLE,
      // Begins no other transaction, and commits ours.
      singleTransaction: true,
      noLock: true,
      log: () => undefined,
    });
    if (applied.length === 0) await client.query('COMMIT');
    return applied.map(({ name }) => name);
  };

  return {
    findMigrations,
    async migrate(databaseUrl) {
      const deadline = performance.now() + RETRY_AT_MOST_MS;
      for (;;) {
        try {
          return await withClient(databaseUrl, migrateOnce);
        } catch (error) {
          if ((error as { code?: string }).code !== LOCK_NOT_AVAILABLE || performance.now() > deadline) throw error;
        }
        await setTimeout(RETRY_AFTER_MS);
      }
    },
    async awaitMigrations(databaseUrl, log) {
      const deadline = performance.now() + AWAIT_AT_MOST_MS;
      for (let first = true; ; first = false) {
        const isLate = performance.now() > deadline;
        try {
          const { pending } = await withClient(databaseUrl, findMigrations);
          if (pending.length === 0) return;
          if (isLate) {
            const advice = command ? ` Apply them with: ${command}` : '';
            throw new Error(`The database lacks the migrations ${pending.join(', ')}.${advice}`);
          }
          if (first) log.info({ pending }, 'waiting for the migrations');
        } catch (error) {
          // The rights are granted after the migrations.
          if (isLate || kindOfDatabaseError(error) !== 'not-allowed') throw error;
          if (first) log.info({ err: error }, 'waiting for the rights');
        }
        await setTimeout(AWAIT_EVERY_MS);
      }
    },
    runAlone: (databaseUrl, work) =>
      withClient(databaseUrl, async client => {
        await beginAlone(client);
        await work(client);
        await client.query('COMMIT');
      }),
  };
}

/** Runs work on a connection of its own. */
export async function withClient<T>(databaseUrl: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  // The pending query rejects with the same error.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
