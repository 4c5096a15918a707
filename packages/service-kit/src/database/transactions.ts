import type { Pool, PoolClient } from 'pg';
import { isDatabaseUnavailable } from './error-kinds.js';
import { isMismatch } from './prepared.js';

/** Anything that runs a query: the pool, or a client inside a transaction. */
export type Queryable = Pick<Pool | PoolClient, 'query'>;

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
 * writes, is not used again. A transaction that fails because a pooler lost a prepared statement is run once more.
 */
export async function transact<T>(pool: Pick<Pool, 'connect'>, work: (client: PoolClient) => Promise<T>): Promise<T> {
  try {
    return await transactOnce(pool, work);
  } catch (error) {
    if (!isMismatch(error)) throw error;
    return transactOnce(pool, work);
  }
}

async function transactOnce<T>(pool: Pick<Pool, 'connect'>, work: (client: PoolClient) => Promise<T>): Promise<T> {
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
