import type pg from 'pg';
import { progressBar } from '../report.js';

const BATCH = 50_000;
// A prime, so that it shares no factor with the number of accounts: a session's account is any other's but nobody's twice.
const STRIDE = 7_368_787;
/** Of so many sessions, one has ended two days ago. */
const ENDED_ONE_IN = 10;
/** A week of events has so many accounts to one event. */
const ACCOUNTS_PER_EVENT = 2;

// Ids that grow with time, as the service makes them, and names in no order.
const FUNCTIONS = `
  CREATE FUNCTION pg_temp.account_id(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (left(time, 8) || '-' || right(time, 4) || '-7' || left(rest, 3) || '-8' || substr(rest, 4, 3) || '-' || substr(rest, 7, 12))::uuid
    FROM (SELECT lpad(to_hex(1700000000000 + 5000 * n), 12, '0') AS time, md5(n::text) AS rest) $$;
  CREATE FUNCTION pg_temp.account_name(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT 'user-' || left(md5('name' || n), 17) $$`;

const USER_AGENT =
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36';

// The numbers of a batch are $1 to $2. An account has one session; sessions began within the last 30 days, in the order of their ids.
const NUMBERS = 'generate_series($1::bigint, $2::bigint) AS n';
const ACCOUNTS = `
  INSERT INTO auth.users (id, username, password_hash, hash_form, hash_cost, hash_secret)
  SELECT pg_temp.account_id(n), pg_temp.account_name(n), password_hash, hash_form, hash_cost, hash_secret
  FROM auth.users, ${NUMBERS} WHERE username = 'pattern'`;
const IDENTIFIERS = `
  INSERT INTO auth.identifiers (name, kind, user_id)
  SELECT pg_temp.account_name(n), 'username', pg_temp.account_id(n) FROM ${NUMBERS}`;
const OF_ANY_ACCOUNT = `
  FROM (
    SELECT n, $3::bigint + 1 + n * ${STRIDE} % ($4::bigint - $3) AS account, interval '30 days' * (1 - (n - $3) / ($4 - $3)::float8) AS age
    FROM ${NUMBERS}
  ) AS one`;
const SESSIONS = `
  INSERT INTO auth.sessions (id, user_id, salt, rotated_at, created_at, auth_time, expires_at, ends_at, token_expires_at, user_agent, address)
  SELECT uuidv7(-age), pg_temp.account_id(account), decode(md5('salt' || n), 'hex'), now() - age, now() - age, now() - age,
    CASE WHEN n % ${ENDED_ONE_IN} = 0 THEN now() - interval '2 days' ELSE now() + interval '30 days' END, now() + interval '90 days',
    now() - interval '1 hour', '${USER_AGENT}', '10.0.0.0'::inet + n
  ${OF_ANY_ACCOUNT}`;
const EVENTS = `
  INSERT INTO auth.audit_events (place, id, happened_at, event, user_id, session_id, actor, request_id, address, user_agent)
  SELECT user_id, uuidv7(-age), now() - age, 'refresh', user_id, gen_random_uuid(), 'account:' || user_id, gen_random_uuid()::text,
    '10.0.0.0'::inet + n, '${USER_AGENT}'
  FROM (SELECT n, pg_temp.account_id(account) AS user_id, age * 7 / 30 AS age ${OF_ANY_ACCOUNT}) AS one
  WHERE n % ${ACCOUNTS_PER_EVENT} = 0`;

/** Makes what the rows need, on the connection that will fill. Triggers and foreign keys are not asked: the rows are as they would leave them. */
export async function prepareToFill(database: pg.Client): Promise<void> {
  await database.query(FUNCTIONS);
  await database.query('SET session_replication_role = replica');
}

/** Adds the accounts from one number up to another, each as the account `pattern`, with a session, and a week of audit events scaled down. */
export async function fill(database: pg.Client, from: number, to: number): Promise<void> {
  for (let first = from + 1; first <= to; first += BATCH) {
    progressBar('filling', (first - from) / (to - from));
    const batch = [first, Math.min(first + BATCH - 1, to)];
    for (const rows of [ACCOUNTS, IDENTIFIERS]) await database.query(rows, batch);
    for (const rows of [SESSIONS, EVENTS]) await database.query(rows, [...batch, from, to]);
  }
}

/** Names of accounts below a number, in random order. */
export async function sampleNames(database: pg.Client, below: number, count: number): Promise<string[]> {
  const { rows } = await database.query<{ name: string }>(
    'SELECT pg_temp.account_name(1 + floor(random() * $1)::bigint) AS name FROM generate_series(1, $2::int)',
    [below, count],
  );
  return rows.map(({ name }) => name);
}
