import { epoch } from '../database/sql.js';
import { MARGIN_S } from './stored-pages.js';

// As many as half of a page has.
const DRAFT_SIZE = 2500;

/**
 * SQL that tells the feed of ended sessions, for the WITH of the statement that ends them: both happen or neither. The statement also
 * sets their `draft` to the parameter `$draft`, a new UUID, so that no trigger tells of them once more.
 *
 * @param from what follows FROM: rows of `id` and `token_expires_at`
 */
export const drafted = (from: string): string => `
  INSERT INTO auth.feed_drafts (batch, n, packed, expires_at)
  SELECT $draft::uuid, n, string_agg(${packed('id', 'token_expires_at')}, '' ORDER BY id), max(token_expires_at)
  FROM (
    SELECT id, token_expires_at, ((row_number() OVER (ORDER BY id) - 1) / ${DRAFT_SIZE})::int AS n
    FROM ${from}
  ) AS numbered
  WHERE token_expires_at > now() - make_interval(secs => ${MARGIN_S})
  GROUP BY n`;

/** SQL of an ended session as `Revocation`, from a row of `id` and `token_expires_at`. */
export const REVOCATION = `json_build_object('sid', id, 'exp', ${epoch('token_expires_at')})`;

/** SQL of a session as `PACKED_LENGTH` says: its id, and when its last token expires, whose upper half is 0 until 2106. */
const packed = (id: string, expiry: string): string =>
  `uuid_send(${id}) || substring(int8send(floor(extract(epoch FROM ${expiry}))::bigint) FROM 5)`;
