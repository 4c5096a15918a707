import type { Queryable } from '@latchkey/service-kit/database';
import type { Claim, Count, Denial, Lease, Settlement } from './store.js';

/** Takes an attempt of each claim, or of none. */
export async function spendAttempt(
  db: Queryable,
  claims: Claim[],
  leaseS: number,
  isExempt: boolean,
): Promise<Lease | Denial> {
  const { rows } = await db.query<Lease & Partial<Denial>>(
    `SELECT to_char(lease AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS lease, taken,
       refused_by AS "refusedBy", refused_s AS "refusedS", is_closed AS "isClosed"
     FROM auth.spend_attempt($1, $2, $3)`,
    [JSON.stringify(claims), leaseS, isExempt],
  );
  const { lease, taken, ...denial } = rows[0] as (typeof rows)[number];
  return denial.refusedBy ? (denial as Denial) : { lease, taken };
}

/** Settles an attempt. */
export async function settleAttempt(db: Queryable, lease: string, settlements: Settlement[]): Promise<Count[]> {
  const { rows } = await db.query<Count>(
    `SELECT settled_key AS key, available AS left, resets_s AS "resetsS", block_s AS "blockS"
     FROM auth.settle_attempt($1, $2)`,
    [JSON.stringify(settlements), lease],
  );
  return rows;
}

/** Deletes up to `batch` counters that are over; returns how many. */
export async function deleteOldCounters(db: Queryable, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    // An attempt locks its counters in an order of its own, so this waits for none of them.
    `DELETE FROM auth.throttle_counters WHERE key IN (
       SELECT key FROM auth.throttle_counters WHERE expires_at < now() LIMIT $1 FOR UPDATE SKIP LOCKED
     )`,
    [batch],
  );
  return rowCount ?? 0;
}
