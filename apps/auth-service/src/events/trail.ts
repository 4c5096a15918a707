import type { Queryable } from '@latchkey/service-kit/database';
import { utc } from '../database/sql.js';

/** An event as it is shown. */
export type AuditEvent = {
  happenedAt: string;
  event: string;
  username: string | null;
  actor: string | null;
  sessionId: string | null;
  clientId: string | null;
  address: string | null;
  userAgent: string | null;
  requestId: string | null;
  details: Record<string, unknown> | null;
};

/** Lists the latest events, of one account when it is given. */
export async function listEvents(
  db: Queryable,
  { accountId, limit }: { accountId: string | undefined; limit: number },
): Promise<AuditEvent[]> {
  const { rows } = await db.query<AuditEvent>(
    `SELECT ${utc('e.happened_at')} AS "happenedAt", e.event, u.username, e.actor, e.session_id AS "sessionId",
       e.client_id AS "clientId", host(e.address) AS address, e.user_agent AS "userAgent", e.request_id AS "requestId",
       e.details
     FROM auth.audit_events e LEFT JOIN auth.users u ON u.id = e.user_id
     WHERE $1::uuid IS NULL OR e.user_id = $1
     ORDER BY e.id DESC LIMIT $2`,
    [accountId, limit],
  );
  return rows;
}

/** Deletes up to `batch` events that are older than `days`; returns how many. */
export async function deleteOldEvents(db: Queryable, days: number, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM auth.audit_events WHERE id IN (
       SELECT id FROM auth.audit_events WHERE happened_at < now() - make_interval(days => $1) LIMIT $2
     )`,
    [days, batch],
  );
  return rowCount ?? 0;
}
