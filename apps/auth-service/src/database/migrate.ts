import { readdir } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { FastifyBaseLogger } from 'fastify';
import pg from 'pg';
import { grantsFor } from './privileges.js';
import type { Queryable } from './sql.js';

const FOLDER = fileURLToPath(new URL('../../migrations', import.meta.url));
const TABLE = 'migrations';

// Any number that nobody else in the database locks: "auth" in ASCII.
const LOCK = 0x61757468;

const AWAIT_EVERY_MS = 500;
const AWAIT_AT_MOST_MS = 60_000;

/**
 * Brings the database's schema up to date, in one transaction. Any number of replicas may do this at once: one works while
 * the others wait for its lock, which ends with the transaction, so that it suits PgBouncer and a killed one gives it up.
 *
 * @returns names of the migrations that were applied
 */
export function migrate(databaseUrl: string): Promise<string[]> {
  return withClient(databaseUrl, async client => {
    if ((await findMigrations(client)).pending.length === 0) return [];
    // Heavy to load, and hardly ever needed.
    const { runner } = await import('node-pg-migrate');
    await beginAlone(client);
    const { rows } = await client.query<{ isMissing: boolean }>(
      `SELECT to_regnamespace('auth') IS NULL AS "isMissing"`,
    );
    const applied = await runner({
      dbClient: client,
      dir: FOLDER,
      direction: 'up',
      migrationsSchema: 'auth',
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
  });
}

/** Fails when there is no such role. */
export function assertRole(databaseUrl: string, role: string): Promise<void> {
  return withClient(databaseUrl, async client => {
    const { rowCount } = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [role]);
    if (rowCount === 0) throw new Error(`There is no role ${role}. Make it first: CREATE ROLE`);
  });
}

/** Grants a role what the service needs of the schema, and takes from it whatever else it had there. */
export function grantServing(databaseUrl: string, role: string): Promise<void> {
  return withClient(databaseUrl, async client => {
    await beginAlone(client);
    await client.query(grantsFor(role));
    await client.query('COMMIT');
  });
}

/**
 * Waits until somebody else has brought the schema up to date.
 *
 * @throws Error that names what is missing when nobody does within a minute
 */
export async function awaitMigrations(databaseUrl: string, log: Pick<FastifyBaseLogger, 'info'>): Promise<void> {
  const deadline = performance.now() + AWAIT_AT_MOST_MS;
  for (let first = true; ; first = false) {
    const { pending } = await withClient(databaseUrl, findMigrations);
    if (pending.length === 0) return;
    if (performance.now() > deadline) {
      throw new Error(`The database lacks the migrations ${pending.join(', ')}. Apply them with: latchkey migrate`);
    }
    if (first) log.info({ pending }, 'waiting for the migrations');
    await setTimeout(AWAIT_EVERY_MS);
  }
}

/** Names of migrations, in order. */
export type Migrations = {
  applied: string[];
  /** Those that the database lacks. */
  pending: string[];
  /** Those that a newer service has applied. */
  unknown: string[];
};

/** Compares the migrations that were applied with those that this service knows. */
export async function findMigrations(db: Queryable): Promise<Migrations> {
  const known = (await readdir(FOLDER)).map(file => file.replace(/\.sql$/, '')).sort();
  const applied = await findApplied(db);
  return {
    applied,
    pending: known.filter(name => !applied.includes(name)),
    unknown: applied.filter(name => !known.includes(name)),
  };
}

async function findApplied(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ exists: boolean }>(`SELECT to_regclass('auth.${TABLE}') IS NOT NULL AS exists`);
  if (!rows[0]?.exists) return [];
  const applied = await db.query<{ name: string }>(`SELECT name FROM auth.${TABLE} ORDER BY name`);
  return applied.rows.map(({ name }) => name);
}

async function beginAlone(client: pg.ClientBase): Promise<void> {
  await client.query('BEGIN');
  await client.query('SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0');
  await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
}

async function withClient<T>(databaseUrl: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 5000 });
  // The query that waits hears of it.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
