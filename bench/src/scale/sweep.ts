import type pg from 'pg';
import { progressBar } from '../report.js';

const BATCH = 1000;
const FIRST = '00000000-0000-0000-0000-000000000000';

// The statement of the service's hourly cleanup (`deleteEndedSessions`), which nothing but the hour starts.
const DELETE = `
  WITH seen AS (
    SELECT s.user_id, s.id, least(s.expires_at, s.revoked_at) < now() - interval '1 day' AS is_old
    FROM auth.sessions s WHERE (s.user_id, s.id) > ($1, $2) ORDER BY s.user_id, s.id LIMIT $3
  ), deleted AS (
    DELETE FROM auth.sessions s USING seen WHERE s.user_id = seen.user_id AND s.id = seen.id AND seen.is_old
  )
  SELECT user_id AS "accountId", id AS "sessionId" FROM seen ORDER BY user_id DESC, id DESC LIMIT 1`;

type Place = Record<'accountId' | 'sessionId', string>;

/** Sweeps the ended sessions as the service does, batch by batch; how long that took, in seconds. */
export async function sweep(database: pg.Client, sessions: number): Promise<number> {
  const begin = performance.now();
  let place: Place = { accountId: FIRST, sessionId: FIRST };
  for (let seen = 0; ; seen += BATCH) {
    if (seen % (100 * BATCH) === 0) progressBar('sweep of ended sessions', seen / sessions);
    const values = [place.accountId, place.sessionId, BATCH];
    const { rows } = await database.query<Place>({ name: 'sweep', text: DELETE, values });
    const [last] = rows;
    if (!last) return (performance.now() - begin) / 1000;
    place = last;
  }
}
