import type { Queryable } from '@latchkey/service-kit/database';
import { statement, utc } from '../database/sql.js';

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

const COLUMNS =
  'id, happened_at, event, user_id, session_id, client_id, actor, details, request_id, address, user_agent';

// The older ones are in another table, from before the trail had partitions.
const latest = (ofAccount: boolean) =>
  statement<AuditEvent, { accountId?: string | undefined; limit: number }>(`
    SELECT ${utc('e.happened_at')} AS "happenedAt", e.event, u.username, e.actor, e.session_id AS "sessionId",
      e.client_id AS "clientId", host(e.address) AS address, e.user_agent AS "userAgent", e.request_id AS "requestId", e.details
    FROM (
      (SELECT ${COLUMNS} FROM auth.audit_events ${ofAccount ? 'WHERE place = $accountId' : ''}
       ORDER BY happened_at DESC, id DESC LIMIT $limit)
      UNION ALL
      (SELECT ${COLUMNS} FROM auth.audit_events_before ${ofAccount ? 'WHERE user_id = $accountId' : ''}
       ORDER BY id DESC LIMIT $limit)
    ) AS e LEFT JOIN auth.users u ON u.id = e.user_id
    ORDER BY e.happened_at DESC, e.id DESC LIMIT $limit`);
const LATEST = latest(false);
const LATEST_OF_ACCOUNT = latest(true);

/** Lists the latest events, of one account when it is given. */
export function listEvents(
  db: Queryable,
  { accountId, limit }: { accountId: string | undefined; limit: number },
): Promise<AuditEvent[]> {
  return accountId === undefined ? LATEST(db, { limit }) : LATEST_OF_ACCOUNT(db, { accountId, limit });
}

/** Makes the partitions of the next months, and drops those of which every event is older than `days`; 0 keeps all. */
export async function keepPartitions(db: Queryable, days: number): Promise<void> {
  await db.query('SELECT auth.keep_audit_partitions($1)', [days]);
}

/** Deletes up to `batch` events older than `days` from before the trail had partitions; returns how many. */
export async function deleteOldEvents(db: Queryable, days: number, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    // In the order of their ids, which is nearly that of their times, so that nothing is searched.
    `DELETE FROM auth.audit_events_before WHERE happened_at < now() - make_interval(days => $1) AND id IN (
       SELECT id FROM auth.audit_events_before ORDER BY id LIMIT $2
     )`,
    [days, batch],
  );
  return rowCount ?? 0;
}

const MOST_CALLERS = 1000;

/** From where an attempt at an account was made, or in which of its sessions. */
export type FailedCaller = { address: string; sessionId: string | null };

const FAILED_BY = statement<FailedCaller, { accountId: string }>(`
  SELECT CASE WHEN session_id IS NULL THEN host(address) ELSE '' END AS address, session_id AS "sessionId"
  FROM auth.audit_events
  WHERE place = $accountId AND event IN ('sign_in_failed', 'step_up_failed', 'password_change_failed')
    AND (address IS NOT NULL OR session_id IS NOT NULL) AND happened_at > now() - interval '31 days'
  GROUP BY 1, 2 ORDER BY max(happened_at) DESC LIMIT ${MOST_CALLERS}`);

/** Lists the callers whose attempts at an account have failed in the last month, the latest first. */
export function listFailedCallers(db: Queryable, accountId: string): Promise<FailedCaller[]> {
  return FAILED_BY(db, { accountId });
}
