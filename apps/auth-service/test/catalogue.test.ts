import type pg from 'pg';
import t from 'tap';
import { createDatabase, startService } from './helper.js';

// Where a database that is distributed by account keeps each row: by this column. See docs/scaling.md.
const PLACES: Record<string, string> = {
  audit_events: 'place',
  identifiers: 'name',
  mail_queue: 'id',
  revocations: 'session_id',
  sessions: 'user_id',
  sign_up_keys: 'user_id',
  throttle_counters: 'key',
  users: 'id',
};

// Small, or written by one replica at a time.
const ON_ONE_NODE = [
  ...['clients', 'feed_drafts', 'feed_pages', 'migrations', 'revocation_batches', 'revocation_head', 'signing_keys'],
  // Of versions before.
  ...['audit_events_before', 'revocation_pages', 'throttles'],
];

// What still keeps a table on one node, and until when.
const NOT_YET: Record<string, string> = {
  'unique sessions_pkey': 'until no refresh token without an account is left',
  'unique users_username_key': 'until no replica is left that looks for a name there',
  'trigger audit_event_placed': 'for the version before',
  'trigger hash_added': 'for the version before, and for SQL',
  'trigger hash_changed': 'for the version before, and for SQL',
  'trigger session_deleted': 'the feed relies on it',
  'trigger session_revoked': 'the feed relies on it',
  'trigger user_disabled': 'for SQL',
  'trigger users_named': 'for the version before, and for SQL',
};

/** Finds what a database that is distributed by these columns cannot hold. */
async function findObstacles(db: Pick<pg.Pool, 'query'>): Promise<string[]> {
  const placed = Object.keys(PLACES);
  const { rows } = await db.query<{ obstacle: string }>(
    `WITH placed AS (
       SELECT c.oid, a.attnum, c.relname FROM unnest($1::text[], $2::text[]) AS given (relname, attname)
       JOIN pg_class c ON c.relname = given.relname AND c.relnamespace = 'auth'::regnamespace
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = given.attname
     )
     SELECT 'unique ' || i.indexrelid::regclass::name AS obstacle FROM pg_index i JOIN placed p ON p.oid = i.indrelid
     WHERE i.indisunique AND p.attnum <> ALL (i.indkey::int2[])
     UNION ALL
     SELECT 'foreign key ' || f.conname FROM pg_constraint f JOIN placed p ON p.oid = f.conrelid
     LEFT JOIN placed target ON target.oid = f.confrelid
     WHERE f.contype = 'f' AND (target.oid IS NULL OR f.conkey[array_position(f.confkey, target.attnum)] IS DISTINCT FROM p.attnum)
     UNION ALL
     SELECT 'trigger ' || g.tgname FROM pg_trigger g JOIN placed p ON p.oid = g.tgrelid WHERE NOT g.tgisinternal
     UNION ALL
     SELECT 'default ' || p.relname FROM pg_attrdef d JOIN placed p ON p.oid = d.adrelid
     WHERE pg_get_expr(d.adbin, d.adrelid) ~ 'nextval'
     ORDER BY 1`,
    [placed, Object.values(PLACES)],
  );
  return rows.map(({ obstacle }) => obstacle.replace('auth.', ''));
}

t.test('every table has a place, and what keeps one from being distributed is known', async t => {
  const { sql } = await startService(t);
  const { rows } = await sql(
    `SELECT relname FROM pg_class WHERE relnamespace = 'auth'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition`,
  );
  t.same(rows.map(({ relname }) => relname).sort(), [...Object.keys(PLACES), ...ON_ONE_NODE].sort());
  t.same(await findObstacles({ query: sql } as pg.Pool), Object.keys(NOT_YET).sort());
});

t.test('a key, a foreign key, a trigger or a sequence that cannot be distributed is found', async t => {
  const { sql, app } = await startService(t, { databaseUrl: await createDatabase() });
  const known = Object.keys(NOT_YET);
  const planted = async (statement: string) => {
    await sql(statement);
    return (await findObstacles(app.pg.pool)).filter(obstacle => !known.includes(obstacle));
  };
  t.same(await planted('CREATE UNIQUE INDEX planted_key ON auth.users (username)'), ['unique planted_key']);
  await sql('DROP INDEX auth.planted_key');
  const reference =
    'ALTER TABLE auth.identifiers ADD CONSTRAINT planted_owner FOREIGN KEY (user_id) REFERENCES auth.users';
  t.same(await planted(reference), ['foreign key planted_owner'], 'from the place of a name to that of an account');
  await sql('ALTER TABLE auth.identifiers DROP CONSTRAINT planted_owner');
  t.same(
    await planted(`CREATE TRIGGER planted BEFORE INSERT ON auth.sign_up_keys FOR EACH ROW
      EXECUTE FUNCTION suppress_redundant_updates_trigger()`),
    ['trigger planted'],
  );
  await sql('DROP TRIGGER planted ON auth.sign_up_keys');
  t.same(await planted('ALTER TABLE auth.sessions ADD COLUMN planted bigserial'), ['default sessions']);
});
