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

const MOST_ADDRESSES = 1000;

const FAILED_FROM = statement<{ address: string }, { accountId: string }>(`
  SELECT host(address) AS address FROM auth.audit_events
  WHERE place = $accountId AND event IN ('sign_in_failed', 'step_up_failed', 'password_change_failed') AND address IS NOT NULL
    AND happened_at > now() - interval '31 days'
  GROUP BY address ORDER BY max(happened_at) DESC LIMIT ${MOST_ADDRESSES}`);

/** Lists the addresses from which attempts at an account have failed in the last month, the latest first. */
export async function listFailedAddresses(db: Queryable, accountId: string): Promise<string[]> {
  return (await FAILED_FROM(db, { accountId })).map(({ address }) => address);
}
