import type { Revocation } from '@latchkey/user-schema';
import { epoch, type Queryable } from './sql.js';

/** An ended session, with the transaction that ended it, and how long that is to be told, by the database's clock. */
export type StoredRevocation = Revocation & { xid: string; forMs: number };

/** How long after its last token a revocation is still told, for verifiers whose clock is behind. In seconds. */
const MARGIN_S = 300;

const IS_IN_FORCE = `expires_at > now() - make_interval(secs => ${MARGIN_S})`;

/**
 * Finds the revocations that have been committed since a snapshot of the database, or all that are in force, and the
 * snapshot for the next time.
 */
export async function listRevocations(
  db: Queryable,
  snapshot?: string,
): Promise<{ snapshot: string; revocations: StoredRevocation[] }> {
  const { rows } = await db.query<{ snapshot: string; revocations: StoredRevocation[] }>(
    `SELECT pg_current_snapshot()::text AS snapshot, coalesce((
       SELECT json_agg(json_build_object('sid', session_id, 'exp', ${epoch('expires_at')}, 'xid', xid::text,
         'forMs', extract(epoch FROM expires_at - now()) * 1000 + ${MARGIN_S * 1000}))
       FROM auth.revocations
       WHERE ${IS_IN_FORCE} AND ($1::pg_snapshot IS NULL
         OR xid >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $1::pg_snapshot))
     ), '[]') AS revocations`,
    [snapshot],
  );
  return rows[0] as { snapshot: string; revocations: StoredRevocation[] };
}

/**
 * Gives revocations that come from another life of the database, by a restore, a transaction of this one: theirs are in
 * the future, where no snapshot sees them.
 */
export async function adoptRevocations(db: Queryable): Promise<void> {
  await db.query(
    `UPDATE auth.revocations SET xid = pg_current_xact_id() WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())`,
  );
}

/** Deletes revocations that are in force no more. */
export async function sweepRevocations(db: Queryable): Promise<void> {
  await db.query(`DELETE FROM auth.revocations WHERE NOT (${IS_IN_FORCE})`);
}
