import type { Queryable } from '@latchkey/service-kit/database';
import { statement } from '../database/sql.js';

// A rolling deployment has ended by then. A day, and another for `run_on`, which is in the time zone of the role that migrated.
const DEPLOYED_AFTER = `interval '2 days'`;

const FIND = statement<{ startsAt: number }>(`
  SELECT CASE WHEN m.run_on > (SELECT min(run_on) FROM auth.migrations)
    THEN extract(epoch FROM m.run_on::timestamptz + ${DEPLOYED_AFTER}) * 1000 ELSE 0 END::float8 AS "startsAt"
  FROM auth.migrations m WHERE m.name = '019_sessions_by_account'`);

/**
 * Finds the time from which new refresh tokens name their account, in milliseconds since 1970: two days after the migration to the
 * version that reads such tokens, so that no replica of the version before gets one. A new database has had no such version.
 */
export async function findNamingStart(db: Queryable): Promise<number> {
  const [row] = await FIND(db, {});
  return row?.startsAt ?? Number.POSITIVE_INFINITY;
}
