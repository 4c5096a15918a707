import type { Queryable } from '@latchkey/service-kit/database';
import type { Session, Sessions } from '@latchkey/user-schema';
import { statement, utc } from '../database/sql.js';
import { IS_LIVE } from './session.js';

type Values = { accountId: string; sessionId: string; most: number; after?: string | undefined };

const list = (isBefore: string) =>
  statement<Session, Values>(`
    SELECT s.id, s.user_agent AS "userAgent", host(s.address) AS address, s.id = $sessionId AS current,
      ${utc('s.created_at')} AS "createdAt", ${utc('s.rotated_at')} AS "lastUsedAt"
    FROM auth.sessions s
    WHERE s.user_id = $accountId AND ${IS_LIVE} ${isBefore}
    ORDER BY s.id DESC LIMIT $most`);
const FROM_NEWEST = list('');
const FROM_AFTER = list('AND s.id < $after');

/**
 * Lists live sessions of an account, the newest first: up to `limit` of those that were started before `after`.
 *
 * @returns the page, and the `after` of the next page when there is one
 */
export async function listSessions(
  db: Queryable,
  { accountId, sessionId }: { accountId: string; sessionId: string },
  { after, limit }: { after: string | undefined; limit: number },
): Promise<Sessions> {
  const page = after === undefined ? FROM_NEWEST : FROM_AFTER;
  // One more shows whether there is another page.
  const rows = await page(db, { accountId, sessionId, most: limit + 1, after });
  const sessions = rows.slice(0, limit);
  const last = sessions.at(-1);
  return { sessions, ...(last && rows.length > limit && { next: last.id }) };
}
