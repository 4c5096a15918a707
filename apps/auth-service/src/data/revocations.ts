import type { Revocation } from '@latchkey/user-schema';
import { epoch, type Queryable } from './sql.js';

/** An ended session, with the transaction that ended it. */
export type StoredRevocation = Revocation & { xid: string };

/** How long after its last token a revocation is still told, for verifiers whose clock is behind. In seconds. */
export const REVOCATION_MARGIN_S = 300;

const IS_IN_FORCE = `expires_at > now() - make_interval(secs => ${REVOCATION_MARGIN_S})`;

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
       SELECT json_agg(json_build_object('sid', session_id, 'exp', ${epoch('expires_at')}, 'xid', xid::text))
       FROM auth.revocations
       WHERE ${IS_IN_FORCE} AND ($1::pg_snapshot IS NULL
         OR xid >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $1::pg_snapshot))
     ), '[]') AS revocations`,
    [snapshot],
  );
  return rows[0] as { snapshot: string; revocations: StoredRevocation[] };
}

/** Deletes revocations that are in force no more. */
export async function sweepRevocations(db: Queryable): Promise<void> {
  await db.query(`DELETE FROM auth.revocations WHERE NOT (${IS_IN_FORCE})`);
}
