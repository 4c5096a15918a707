import { isDatabaseUnavailable } from '@latchkey/service-kit';
import type { Pool, PoolClient } from 'pg';

/** Anything that runs a query: the pool, or a client inside a transaction. */
export type Queryable = Pick<Pool | PoolClient, 'query'>;

/** A time as RFC 3339, UTC. */
export const utc = (time: string) => `to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** A time as whole seconds since 1970, as in a JWT. */
export const epoch = (time: string) => `floor(extract(epoch FROM ${time}))::float8`;

/**
 * Runs `work` in a transaction, which is undone when it throws. A connection that has failed, or whose server takes no more
 * writes, is not used again.
 */
export async function transact<T>(pool: Pick<Pool, 'connect'>, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let evict = false;
  // The query that waits hears of it.
  const ignore = () => undefined;
  client.on('error', ignore);
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    evict = isDatabaseUnavailable(error);
    if (!evict) {
      await client.query('ROLLBACK').catch(() => {
        evict = true;
      });
    }
    throw error;
  } finally {
    client.off('error', ignore);
    client.release(evict);
  }
}

/** Fails when the database takes no writes, as a standby does not: rows can be locked only where they can be written. */
export async function assertWritable(db: Queryable): Promise<void> {
  await db.query('SELECT FROM auth.sessions LIMIT 0 FOR UPDATE');
}
