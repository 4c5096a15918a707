import { inTransaction, type Queryable } from '@latchkey/service-kit/database';
import type { Revocation } from '@latchkey/user-schema';
import { epoch, statement } from '../database/sql.js';
import { type Origin, originValue, recorded } from '../events/recorder.js';
import { ENTRY, ENTRY_LENGTH } from './entries.js';

/** A page of the feed: its entries (see `entries.ts`), and when the last of them expires. */
export type StoredPage = { position: number; entries: string; expiresAt: number };

/** Pages as one statement has read them. Times are in seconds since 1970, by the database's clock. */
export type Reading = {
  /** Names the database server and its data, as they are since its last start, restore or failover. */
  life: string;
  now: number;
  /** Whether revocations have been committed that are in no page yet. */
  hasUnpaged: boolean;
  pages: StoredPage[];
  /** The position of the last page that was read. */
  end: number;
  /** Whether there are pages behind `end`. */
  hasMore: boolean;
};

/** How long after its last token a revocation is still in the feed, for verifiers whose clock is behind. In seconds. */
export const MARGIN_S = 300;
/** How many revocations a page holds at most. */
export const PAGE_SIZE = 5000;

// How many batches, and how many of their revocations, are moved into pages by one transaction: some 100 ms.
const BATCHES = 1000;
const MOVED_AT_ONCE = 5 * PAGE_SIZE;
// Pages that one statement reads at most, when they are small.
const PAGES = 1000;

const IS_IN_FORCE = `expires_at > now() - make_interval(secs => ${MARGIN_S})`;

// A restore or a failover starts another server or timeline; a restore from a dump makes the table anew.
const LIFE = `md5(concat_ws(' ',
  (SELECT system_identifier FROM pg_control_system()), (SELECT timeline_id FROM pg_control_checkpoint()),
  extract(epoch FROM pg_postmaster_start_time()), 'auth.revocation_pages'::regclass::oid,
  pg_relation_filenode('auth.revocation_pages')))`;

type ReadRow = Pick<Reading, 'life' | 'now' | 'hasUnpaged'> & { head: number } & (StoredPage | { position: null });

const READ = statement<ReadRow, { after: number }>(`
  SELECT ${LIFE} AS life, ${epoch('now()')} AS now, (SELECT page FROM auth.revocation_head)::float8 AS head,
    EXISTS (SELECT FROM auth.revocation_batches WHERE NOT paged) AS "hasUnpaged",
    page.position::float8 AS position, page.entries, ${epoch('page.expires_at')} AS "expiresAt"
  FROM (VALUES (1)) AS once LEFT JOIN LATERAL (
    SELECT position, entries, expires_at FROM (
      SELECT position, entries, expires_at, sum(octet_length(entries) + 1) OVER (ORDER BY position) AS length FROM (
        SELECT position, entries, expires_at FROM auth.revocation_pages
        WHERE position > $after::bigint AND ${IS_IN_FORCE} ORDER BY position LIMIT ${PAGES}
      ) AS following
    ) AS sized
    WHERE length <= ${PAGE_SIZE * ENTRY_LENGTH} OR length = octet_length(entries) + 1
  ) AS page ON true
  ORDER BY page.position`);

/** Reads the pages behind a position that are in force: as many as have the revocations of a full one. */
export async function readPages(db: Queryable, after: number): Promise<Reading> {
  const rows = await READ(db, { after });
  const { life, now, hasUnpaged, head } = rows[0] as ReadRow;
  const pages = rows.filter(row => row.position !== null);
  const end = pages.at(-1)?.position ?? head;
  return { life, now, hasUnpaged, pages, end, hasMore: end < head };
}

// Batches are moved in the order of their ids; the last of them may be moved in part.
const MOVE = statement<{ moved: number }>(`
  WITH unpaged AS (
    SELECT id, paged_after FROM auth.revocation_batches WHERE NOT paged ORDER BY id LIMIT ${BATCHES}
  ), taken AS (
    SELECT r.batch, r.session_id, r.expires_at FROM unpaged u CROSS JOIN LATERAL (
      SELECT r.batch, r.session_id, r.expires_at FROM auth.revocations r
      WHERE r.batch = u.id AND r.session_id > u.paged_after AND ${IS_IN_FORCE}
      ORDER BY r.session_id LIMIT ${MOVED_AT_ONCE}
    ) r
    ORDER BY u.id, r.session_id LIMIT ${MOVED_AT_ONCE}
  ), total AS (
    SELECT count(*) AS moved, count(*) < ${MOVED_AT_ONCE} AS is_all FROM taken
  ), last AS (
    SELECT batch, session_id FROM taken ORDER BY batch DESC, session_id DESC LIMIT 1
  ), pages AS (
    INSERT INTO auth.revocation_pages (position, entries, expires_at)
    SELECT head.page + 1 + n, string_agg(${ENTRY}, ','), max(expires_at)
    FROM auth.revocation_head head, (SELECT (row_number() OVER () - 1) / ${PAGE_SIZE} AS n, * FROM taken) AS numbered
    GROUP BY head.page, n RETURNING position
  ), marked AS (
    UPDATE auth.revocation_batches b SET
      paged = total.is_all OR b.id < last.batch,
      paged_after = CASE WHEN b.id = last.batch THEN last.session_id ELSE b.paged_after END
    FROM unpaged u, total LEFT JOIN last ON true
    WHERE b.id = u.id AND (total.is_all OR b.id <= last.batch)
  ), head AS (
    UPDATE auth.revocation_head SET page = (SELECT max(position) FROM pages) WHERE EXISTS (SELECT FROM pages)
  )
  SELECT moved::int FROM total`);

// Replicas of the previous version read batches by positions, which committed batches get here.
const PLACE = statement<never>(`
  WITH head AS (SELECT position FROM auth.revocation_head), placed AS (
    UPDATE auth.revocation_batches b SET position = head.position + unplaced.n
    FROM head, (
      SELECT id, row_number() OVER () AS n FROM auth.revocation_batches WHERE position IS NULL LIMIT ${BATCHES}
    ) AS unplaced
    WHERE b.id = unplaced.id RETURNING b.position
  )
  UPDATE auth.revocation_head SET position = placed.last FROM (SELECT max(position) AS last FROM placed) AS placed
  WHERE placed.last IS NOT NULL`);

/**
 * Moves committed revocations into pages. One transaction at a time does so, and the positions of its pages are committed
 * before the next are given: a reader that has read up to a position has missed nothing before it.
 *
 * @returns whether it has moved as many as one transaction does, so that there may be more
 */
export function pageRevocations(db: Queryable): Promise<boolean> {
  return inTransaction(db, async () => {
    // Of a batch of a million, PostgreSQL expects a few hundred, and would sort them all for each page.
    await db.query('SET LOCAL enable_bitmapscan = off');
    await db.query('SELECT FROM auth.revocation_head FOR UPDATE');
    await PLACE(db, {});
    const [total] = await MOVE(db, {});
    return total?.moved === MOVED_AT_ONCE;
  });
}

/**
 * Ends sessions again that the database does not know to have ended, because it was restored to an earlier time.
 *
 * @returns how many of them it did not know
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

/** Deletes up to `batch` expired revocations, expired pages and empty batches each; returns the highest of the three counts. */
export async function deleteOldRevocations(db: Queryable, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM auth.revocations WHERE session_id IN (
       SELECT session_id FROM auth.revocations WHERE NOT (${IS_IN_FORCE}) LIMIT $1
     )`,
    [batch],
  );
  const pages = await db.query(
    `DELETE FROM auth.revocation_pages WHERE position IN (
       SELECT position FROM auth.revocation_pages WHERE NOT (${IS_IN_FORCE}) LIMIT $1
     )`,
    [batch],
  );
  const batches = await db.query(
    `DELETE FROM auth.revocation_batches WHERE id IN (
       SELECT b.id FROM auth.revocation_batches b
       WHERE b.paged AND NOT EXISTS (SELECT FROM auth.revocations r WHERE r.batch = b.id) LIMIT $1
     )`,
    [batch],
  );
  return Math.max(rowCount ?? 0, pages.rowCount ?? 0, batches.rowCount ?? 0);
}
