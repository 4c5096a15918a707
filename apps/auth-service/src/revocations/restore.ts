import type { Queryable } from '@latchkey/service-kit/database';
import type { Revocation } from '@latchkey/user-schema';
import { uuidv7 } from 'uuidv7';
import { statement } from '../database/sql.js';
import { type Origin, originValue, recorded } from '../events/recorder.js';
import { drafted } from './drafts.js';

/**
 * Ends sessions again that the database has forgotten to have ended, as it does when it is set back to an earlier time.
 *
 * @returns how many of them it had forgotten
 */
export async function restoreRevocations(db: Queryable, revocations: Revocation[], origin: Origin): Promise<number> {
  const [row] = await RESTORE(db, {
    sids: revocations.map(({ sid }) => sid),
    exps: revocations.map(({ exp }) => exp),
    draft: uuidv7(),
    origin: originValue(origin),
  });
  return row?.restored ?? 0;
}

const RESTORE = statement<{ restored: number }, { sids: string[]; exps: number[]; draft: string; origin: string }>(`
  WITH given AS (SELECT * FROM unnest($sids::uuid[], $exps::float8[]) AS given (sid, exp)),
  live AS (
    SELECT s.id FROM auth.sessions s JOIN given ON s.id = given.sid WHERE s.revoked_at IS NULL ORDER BY s.id FOR UPDATE OF s
  ), ended AS (
    UPDATE auth.sessions s SET revoked_at = now(), draft = $draft::uuid FROM live WHERE s.id = live.id RETURNING s.id
  ), restored AS (
    INSERT INTO auth.revocations (session_id, expires_at, batch) SELECT sid, to_timestamp(exp), $draft FROM given
    ON CONFLICT DO NOTHING RETURNING session_id AS id, expires_at AS token_expires_at
  ), drafted AS (${drafted('restored')}), ${recorded({
    event: 'revocations_restored',
    details: `jsonb_build_object('restored', (SELECT count(*) FROM restored), 'ended', (SELECT count(*) FROM ended))`,
    from: '(VALUES (1)) AS once WHERE EXISTS (SELECT FROM restored)',
  })}
  SELECT count(*)::int AS restored FROM restored`);
