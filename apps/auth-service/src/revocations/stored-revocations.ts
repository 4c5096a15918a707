import type { Revocation } from '@latchkey/user-schema';
import { epoch, inTransaction, type Queryable, statement } from '../database/sql.js';
import { type Origin, originValue, recorded } from '../events/recorder.js';

/** A place in the feed: behind a session of the batch at a position, in the order of ids. */
export type Place = { position: number; sid: string };

/** An ended session and its place in the feed. */
export type PlacedRevocation = Revocation & { position: number };

/** What one look at the feed found. Times are in seconds since 1970, by the database's clock. */
export type FeedPage = {
  /** Names the database server and its data, as they are since its last start, restore or failover. */
  life: string;
  now: number;
  /** Whether batches have been committed that have no position yet. */
  hasUnplaced: boolean;
  /** In the order of their places. */
  revocations: PlacedRevocation[];
  /** Where to look next. */
  next: Place;
  /** Whether there is more behind `next`. */
  hasMore: boolean;
};

export const FIRST_PLACE: Place = { position: 0, sid: '00000000-0000-0000-0000-000000000000' };
const LAST_SID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/** How long after its last token a revocation is still in the feed, for verifiers whose clock is behind. In seconds. */
export const MARGIN_S = 300;

// How many batches get their positions at once.
const BATCHES = 1000;
// An entry is the id of a session and its expiry. Seconds since 1970 have ten digits until 2286.
const ENTRY = `session_id::text || date_part('epoch', expires_at)::bigint`;
const SID_LENGTH = LAST_SID.length;
const ENTRY_LENGTH = SID_LENGTH + 10;

const IS_IN_FORCE = `r.expires_at > now() - make_interval(secs => ${MARGIN_S})`;

// A restore or a failover starts another server or timeline; a restore from a dump makes the table anew.
const LIFE = `md5(concat_ws(' ',
  (SELECT system_identifier FROM pg_control_system()), (SELECT timeline_id FROM pg_control_checkpoint()),
  extract(epoch FROM pg_postmaster_start_time()), 'auth.revocation_head'::regclass::oid,
  pg_relation_filenode('auth.revocation_head')))`;

// The rest of a batch comes from its index in order, and is aggregated so: a sort would take as long as all else.
const READ = `
  WITH rest AS (
    SELECT count(*) AS count, coalesce(string_agg(${ENTRY}, ''), '') AS entries FROM (
      SELECT r.session_id, r.expires_at FROM auth.revocations r
      WHERE r.batch = (SELECT id FROM auth.revocation_batches WHERE position = $1) AND r.session_id > $2::uuid AND ${IS_IN_FORCE}
      ORDER BY r.session_id LIMIT $3
    ) AS rest
  ), following AS (
    SELECT b.position, e.session_id, e.expires_at
    FROM (SELECT id, position FROM auth.revocation_batches WHERE position > $1 ORDER BY position) b
    CROSS JOIN LATERAL (
      SELECT r.session_id, r.expires_at FROM auth.revocations r WHERE r.batch = b.id AND ${IS_IN_FORCE}
      ORDER BY r.session_id LIMIT $3
    ) e
    ORDER BY b.position, e.session_id LIMIT $3 - (SELECT count FROM rest)
  ), batches AS (
    SELECT position, string_agg(${ENTRY}, '' ORDER BY session_id) AS entries FROM following GROUP BY position
  )
  SELECT ${LIFE} AS life, ${epoch('now()')} AS now,
    coalesce((SELECT position FROM auth.revocation_head), 0)::float8 AS head,
    EXISTS (SELECT FROM auth.revocation_batches WHERE position IS NULL) AS "hasUnplaced",
    (SELECT entries FROM rest) AS rest,
    coalesce((SELECT json_agg(json_build_array(position, entries) ORDER BY position) FROM batches), '[]') AS batches`;

/** Reads the revocations behind a place that are in force, `limit` of them at most. */
export async function readRevocations(db: Queryable, after: Place, limit: number): Promise<FeedPage> {
  type Row = Pick<FeedPage, 'life' | 'now' | 'hasUnplaced'> & {
    head: number;
    rest: string;
    batches: [number, string][];
  };
  const row = await inTransaction(db, async () => {
    // Of a batch of a million, PostgreSQL expects a few hundred, and would sort them all for each page.
    await db.query('SET LOCAL enable_bitmapscan = off');
    const { rows } = await db.query<Row>(READ, [after.position, after.sid, limit]);
    return rows[0] as Row;
  });
  const { head, rest, batches, ...about } = row;
  const revocations: PlacedRevocation[] = [];
  for (const [position, entries] of [[after.position, rest] as const, ...batches]) {
    for (let at = 0; at < entries.length; at += ENTRY_LENGTH) {
      const sid = entries.slice(at, at + SID_LENGTH);
      revocations.push({ sid, exp: Number(entries.slice(at + SID_LENGTH, at + ENTRY_LENGTH)), position });
    }
  }
  const last = revocations.at(-1);
  const hasMore = last !== undefined && revocations.length >= limit;
  return { ...about, revocations, next: hasMore ? last : { position: head, sid: LAST_SID }, hasMore };
}

/**
 * Gives positions to batches that have none. One transaction at a time does so, and each position is committed before the
 * next is given: who has read up to a place has missed nothing before it.
 */
export async function placeRevocations(db: Queryable): Promise<void> {
  await inTransaction(db, async () => {
    await db.query('SELECT FROM auth.revocation_head FOR UPDATE');
    await db.query(
      `WITH head AS (SELECT position FROM auth.revocation_head), placed AS (
         UPDATE auth.revocation_batches b SET position = head.position + unplaced.n
         FROM head, (
           SELECT id, row_number() OVER () AS n FROM auth.revocation_batches WHERE position IS NULL LIMIT $1
         ) AS unplaced
         WHERE b.id = unplaced.id RETURNING b.position
       )
       UPDATE auth.revocation_head SET position = placed.last FROM (SELECT max(position) AS last FROM placed) AS placed
       WHERE placed.last IS NOT NULL`,
      [BATCHES],
    );
  });
}

/**
 * Ends sessions again that the database has forgotten to have ended, as it does when it is set back to an earlier time.
 *
 * @returns how many of them it had forgotten
 */
export async function restoreRevocations(db: Queryable, revocations: Revocation[], origin: Origin): Promise<number> {
  const [row] = await RESTORE(db, {
    sids: revocations.map(({ sid }) => sid),
    exps: revocations.map(({ exp }) => exp),
    origin: originValue(origin),
  });
  return row?.restored ?? 0;
}

const RESTORE = statement<{ restored: number }, { sids: string[]; exps: number[]; origin: string }>(`
  WITH given AS (SELECT * FROM unnest($sids::uuid[], $exps::float8[]) AS given (sid, exp)),
  live AS (
    SELECT s.id FROM auth.sessions s JOIN given ON s.id = given.sid WHERE s.revoked_at IS NULL ORDER BY s.id FOR UPDATE OF s
  ), ended AS (
    UPDATE auth.sessions s SET revoked_at = now() FROM live WHERE s.id = live.id RETURNING s.id
  ), restored AS (
    INSERT INTO auth.revocations (session_id, expires_at) SELECT sid, to_timestamp(exp) FROM given
    ON CONFLICT DO NOTHING RETURNING session_id
  ), recorded AS (${recorded({
    event: 'revocations_restored',
    details: `jsonb_build_object('restored', (SELECT count(*) FROM restored), 'ended', (SELECT count(*) FROM ended))`,
    from: '(VALUES (1)) AS once WHERE EXISTS (SELECT FROM restored)',
  })})
  SELECT count(*)::int AS restored FROM restored`);

/** Deletes up to `batch` revocations that are in force no more, and batches that have none left; returns how many. */
export async function deleteOldRevocations(db: Queryable, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM auth.revocations WHERE session_id IN (
       SELECT r.session_id FROM auth.revocations r WHERE NOT (${IS_IN_FORCE}) LIMIT $1
     )`,
    [batch],
  );
  const emptied = await db.query(
    `DELETE FROM auth.revocation_batches WHERE id IN (
       SELECT b.id FROM auth.revocation_batches b
       WHERE b.position IS NOT NULL AND NOT EXISTS (SELECT FROM auth.revocations r WHERE r.batch = b.id) LIMIT $1
     )`,
    [batch],
  );
  return Math.max(rowCount ?? 0, emptied.rowCount ?? 0);
}
