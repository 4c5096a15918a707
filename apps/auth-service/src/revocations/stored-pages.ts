import { inTransaction, type Queryable } from '@latchkey/service-kit/database';
import { PACKED_LENGTH } from '@latchkey/user-schema';
import { epoch, statement } from '../database/sql.js';

/** A page of the feed: its sessions, packed (see `PACKED_LENGTH`), and when the last of them expires. */
export type StoredPage = { position: number; packed: Buffer; expiresAt: number };

/** Pages as one statement has read them. Times are in seconds since 1970, by the database's clock. */
export type Reading = {
  /** Names the database server and its data, as they are since its last start, restore or failover. */
  life: string;
  now: number;
  /** Whether revocations have been committed that are in no page yet. */
  hasUnpaged: boolean;
  pages: StoredPage[];
  /** The position that has been read up to. */
  end: number;
  /** Whether there is more behind `end`. */
  hasMore: boolean;
};

/** How long after its last token a revocation is still in the feed, for verifiers whose clock is behind. In seconds. */
export const MARGIN_S = 300;
/** How many revocations a page holds at most. */
export const PAGE_SIZE = 5000;

const PAGE_BYTES = PAGE_SIZE * PACKED_LENGTH;
// How many drafts, and how many bytes of them, are moved into pages by one transaction: some 30 ms.
const DRAFTS = 1000;
const MOVED_AT_ONCE = 20 * PAGE_BYTES;
// Pages that one statement reads at most, when they are small.
const PAGES = 1000;

const IS_IN_FORCE = `expires_at > now() - make_interval(secs => ${MARGIN_S})`;

// A restore or a failover starts another server or timeline; a restore from a dump makes the table anew.
const LIFE = `md5(concat_ws(' ',
  (SELECT system_identifier FROM pg_control_system()), (SELECT timeline_id FROM pg_control_checkpoint()),
  extract(epoch FROM pg_postmaster_start_time()), 'auth.feed_pages'::regclass::oid,
  pg_relation_filenode('auth.feed_pages')))`;

type ReadRow = Pick<Reading, 'life' | 'now' | 'hasUnpaged'> & { head: number } & (StoredPage | { position: null });

const READ = statement<ReadRow, { after: number }>(`
  SELECT ${LIFE} AS life, ${epoch('now()')} AS now, (SELECT feed_page FROM auth.revocation_head)::float8 AS head,
    EXISTS (SELECT FROM auth.feed_drafts) AS "hasUnpaged",
    page.position::float8 AS position, page.packed, ${epoch('page.expires_at')} AS "expiresAt"
  FROM (VALUES (1)) AS once LEFT JOIN LATERAL (
    SELECT position, packed, expires_at FROM (
      SELECT *, sum(octet_length(packed)) OVER (ORDER BY position) AS length FROM (
        SELECT position, packed, expires_at FROM auth.feed_pages
        WHERE position > $after::bigint AND ${IS_IN_FORCE} ORDER BY position LIMIT ${PAGES}
      ) AS following
    ) AS sized
    WHERE length <= ${PAGE_BYTES} OR length = octet_length(packed)
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

// A page has the drafts that begin within as many bytes as half of a page: it is full at most.
const MOVE = statement<{ isFull: boolean }>(`
  WITH taken AS (
    SELECT * FROM (
      SELECT batch, n, packed, expires_at, sum(octet_length(packed)) OVER (ORDER BY batch, n) - octet_length(packed) AS start
      FROM (SELECT * FROM auth.feed_drafts ORDER BY batch, n LIMIT ${DRAFTS}) AS drafts
    ) AS sized
    WHERE start < ${MOVED_AT_ONCE}
  ), pages AS (
    INSERT INTO auth.feed_pages (position, packed, expires_at)
    SELECT head.feed_page + row_number() OVER (ORDER BY part), packed, expires_at
    FROM auth.revocation_head head, (
      SELECT start / ${PAGE_BYTES / 2} AS part, string_agg(packed, '' ORDER BY start) AS packed, max(expires_at) AS expires_at
      FROM taken GROUP BY 1
    ) AS grouped
    RETURNING position
  ), moved AS (
    DELETE FROM auth.feed_drafts d USING taken WHERE d.batch = taken.batch AND d.n = taken.n
  ), head AS (
    UPDATE auth.revocation_head SET feed_page = (SELECT max(position) FROM pages) WHERE EXISTS (SELECT FROM pages)
  )
  SELECT count(*) = ${DRAFTS} OR coalesce(sum(octet_length(packed)), 0) >= ${MOVED_AT_ONCE} AS "isFull" FROM taken`);

/**
 * Moves committed drafts into pages. One transaction at a time does so, and the positions of its pages are committed before
 * the next are assigned: a reader that has read up to a position has missed nothing before it.
 *
 * @returns whether it has moved as many as one transaction does, so that there may be more
 */
export function pageRevocations(db: Queryable): Promise<boolean> {
  return inTransaction(db, async () => {
    await db.query('SELECT FROM auth.revocation_head FOR UPDATE');
    const [moved] = await MOVE(db, {});
    return moved?.isFull === true;
  });
}

/** Deletes up to `batch` revocations that are in force no more, and pages and batches that have none left; returns how many. */
export async function deleteOldRevocations(db: Queryable, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM auth.revocations WHERE session_id IN (
       SELECT session_id FROM auth.revocations WHERE NOT (${IS_IN_FORCE}) LIMIT $1
     )`,
    [batch],
  );
  const pages = await db.query(
    `DELETE FROM auth.feed_pages WHERE position IN (
       SELECT position FROM auth.feed_pages WHERE NOT (${IS_IN_FORCE}) LIMIT $1
     )`,
    [batch],
  );
  const batches = await db.query(
    `DELETE FROM auth.revocation_batches WHERE id IN (
       SELECT b.id FROM auth.revocation_batches b
       WHERE NOT EXISTS (SELECT FROM auth.revocations r WHERE r.batch = b.id) LIMIT $1
     )`,
    [batch],
  );
  return Math.max(rowCount ?? 0, pages.rowCount ?? 0, batches.rowCount ?? 0);
}
