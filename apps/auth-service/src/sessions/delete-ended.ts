import type { Queryable } from '@latchkey/service-kit/database';
import { statement } from '../database/sql.js';

const DELETE = statement<{ last: string | null }, { after: string; batch: number }>(`
  WITH seen AS (SELECT s.id, s.expires_at, s.revoked_at FROM auth.sessions s WHERE s.id > $after ORDER BY s.id LIMIT $batch),
  deleted AS (
    DELETE FROM auth.sessions WHERE id IN (
      SELECT id FROM seen WHERE least(expires_at, revoked_at) < now() - interval '1 day'
    )
  )
  SELECT (SELECT id FROM seen ORDER BY id DESC LIMIT 1) AS last`);

/**
 * Deletes sessions that ended a while ago, among the next `batch` sessions behind `after`.
 *
 * @returns the last session looked at, or `undefined` at the end of the table
 */
export async function deleteEndedSessions(db: Queryable, after: string, batch: number): Promise<string | undefined> {
  const [row] = await DELETE(db, { after, batch });
  return row?.last ?? undefined;
}
