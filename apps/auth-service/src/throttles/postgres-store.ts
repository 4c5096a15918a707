import type { Queryable } from '@latchkey/service-kit/database';
import type { Count, Counted, Denial, Lease, ThrottleStore } from './store.js';

/** Counts attempts in PostgreSQL, by the functions of migration `013_throttle_counters`. */
export function createPostgresStore(db: Queryable): ThrottleStore {
  return {
    async spend(claims, leaseS, isExempt) {
      const { rows } = await db.query<Lease & Partial<Denial>>(
        `SELECT to_char(lease AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS lease, taken,
           refused_by AS "refusedBy", refused_s AS "refusedS", is_closed AS "isClosed"
         FROM auth.spend_attempt($1, $2, $3)`,
        [JSON.stringify(claims), leaseS, isExempt],
      );
      const { lease, taken, ...denial } = rows[0] as (typeof rows)[number];
      return denial.refusedBy ? (denial as Denial) : { lease, taken };
    },
    async settle(lease, settlements) {
      const { rows } = await db.query<Count>(
        `SELECT settled_key AS key, available AS left, resets_s AS "resetsS", block_s AS "blockS"
         FROM auth.settle_attempt($1, coalesce($2, '-infinity')::timestamptz)`,
        [JSON.stringify(settlements), lease],
      );
      return rows;
    },
    async read(keys) {
      const { rows } = await db.query<Counted>(
        `SELECT key, failures, extract(epoch FROM CASE WHEN closed_until > now() THEN closed_until - now() END)::float8 AS "blockedS"
         FROM auth.throttle_counters WHERE key = ANY ($1::text[]) AND failures > 0 AND failures_until > now() ORDER BY key`,
        [keys],
      );
      return rows;
    },
  };
}

/** Deletes up to `batch` expired counters; returns how many. */
export async function deleteOldCounters(db: Queryable, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    // An attempt locks its counters in an order of its own; waiting for one of them could be a deadlock.
    `DELETE FROM auth.throttle_counters WHERE key IN (
       SELECT key FROM auth.throttle_counters WHERE expires_at < now() LIMIT $1 FOR UPDATE SKIP LOCKED
     )`,
    [batch],
  );
  return rowCount ?? 0;
}
