import { isDatabaseUnavailable } from '@latchkey/service-kit';
import type { Pool, PoolClient, QueryResultRow } from 'pg';

/** Anything that runs a query: the pool, or a client inside a transaction. */
export type Queryable = Pick<Pool | PoolClient, 'query'>;

/** Runs a statement with the values of its parameters, by name. */
export type Statement<Row, Values> = (db: Queryable, values: Values) => Promise<Row[]>;

/**
 * A statement with named parameters, such as `$accountId`: fragments that use one name share one value. Cast them where
 * PostgreSQL cannot infer the type. The text is translated once, when the module is loaded.
 */
export function statement<Row extends QueryResultRow, Values extends object = Record<never, never>>(
  text: string,
): Statement<Row, Values> {
  const names: string[] = [];
  const numbered = text.replace(/\$([a-z]\w*)/gi, (_, name: string) => {
    if (!names.includes(name)) names.push(name);
    return `$${names.indexOf(name) + 1}`;
  });
  return async (db, values) => {
    const { rows } = await db.query<Row>(
      numbered,
      names.map(name => (values as Record<string, unknown>)[name]),
    );
    return rows;
  };
}

/** A time as RFC 3339, UTC. */
export const utc = (time: string) => `to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** A time as whole seconds since 1970, as in a JWT. */
export const epoch = (time: string) => `floor(extract(epoch FROM ${time}))::float8`;

/**
 * Runs `work` in a transaction of a connection, which is undone when it throws. A connection that has failed, or whose
 * server takes no more writes, is left as it is: its owner gives it up.
 */
export async function inTransaction<T>(connection: Queryable, work: () => Promise<T>): Promise<T> {
  await connection.query('BEGIN');
  try {
    const result = await work();
    await connection.query('COMMIT');
    return result;
  } catch (error) {
    if (!isDatabaseUnavailable(error)) await connection.query('ROLLBACK');
    throw error;
  }
}

/**
 * Runs `work` in a transaction, which is undone when it throws. A connection that has failed, or whose server takes no more
 * writes, is not used again.
 */
export async function transact<T>(pool: Pick<Pool, 'connect'>, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let evict = false;
  // The pending query rejects with the same error.
  const ignore = () => undefined;
  client.on('error', ignore);
  try {
    return await inTransaction(client, () => work(client));
  } catch (error) {
    evict = isDatabaseUnavailable(error);
    throw error;
  } finally {
    client.off('error', ignore);
    client.release(evict);
  }
}

/** Fails when the database takes no writes, as a standby does not, or lacks our tables. Waits for no lock. */
export async function assertWritable(db: Queryable): Promise<void> {
  const { rows } = await db.query<{ readOnly: string }>(
    `SELECT current_setting('transaction_read_only') AS "readOnly", 'auth.sessions'::regclass`,
  );
  // PostgreSQL's code for a write that it refuses for this reason.
  if (rows[0]?.readOnly === 'on') throw Object.assign(new Error('The database takes no writes.'), { code: '25006' });
}
