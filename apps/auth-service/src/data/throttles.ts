import type { Queryable } from './sql.js';

/** Deletes up to `batch` counters that are over; the answer is how many. */
export async function sweepThrottles(db: Queryable, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    // The outer condition spares a counter that has begun anew meanwhile.
    `DELETE FROM auth.throttles WHERE expire < extract(epoch FROM now()) * 1000 AND key IN (
       SELECT key FROM auth.throttles WHERE expire < extract(epoch FROM now()) * 1000 LIMIT $1
     )`,
    [batch],
  );
  return rowCount ?? 0;
}
