import { readMailbox } from '@latchkey/auth-client/testing/service';
import { inTransaction, withClient } from '@latchkey/service-kit/database';
import pg from 'pg';
import t from 'tap';
import { deleteAccount } from '#src/accounts/delete.js';
import { findAccount } from '#src/accounts/details.js';
import { setDisabled } from '#src/accounts/disable.js';
import { listAccounts } from '#src/accounts/list.js';
import { renameAccount } from '#src/accounts/rename.js';
import { resetFactors } from '#src/credentials/reset-factors.js';
import { SERVICE_ORIGIN } from '#src/events/recorder.js';
import { signUpWithApp, useApp } from './authenticator-app.js';
import { call, createDatabase, get, newCredentials, post, startService, until } from './helper.js';
import { usePasskeys } from './passkey-helper.js';
import { PLACES } from './places.js';
import { findForms } from './statement-forms.js';

// Small, or written by one replica at a time.
const ON_ONE_NODE = [
  ...['clients', 'feed_drafts', 'feed_pages', 'migrations', 'revocation_batches', 'revocation_head', 'revocations'],
  ...['mail_queue', 'notices', 'signing_keys', 'throttle_counters'],
  // Of versions before.
  ...['audit_events_before', 'revocation_pages', 'throttles'],
];

// What still keeps a table on one node, and until when.
const NOT_YET: Record<string, string> = {
  'unique users_username_key': 'until no replica is left that looks for a name there',
  'trigger audit_event_placed': 'for the version before',
  'trigger hash_added': 'for the version before, and for SQL',
  'trigger hash_changed': 'for the version before, and for SQL',
  'trigger session_deleted': 'for SQL',
  'trigger session_revoked': 'for the version before, and for SQL',
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

t.test('what the service sends has no form that a distributed table cannot do', async t => {
  const texts = new Set<string>();
  const { query } = pg.Client.prototype;
  t.teardown(() => {
    pg.Client.prototype.query = query;
  });
  pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
    const [first] = args as [string | { text?: string }];
    const text = typeof first === 'string' ? first : first?.text;
    if (text) texts.add(text);
    return Reflect.apply(query, this, args);
  } as typeof query;

  const service = await startService(t);
  const { base, sql } = service;
  const credentials = newCredentials();
  const key = { 'idempotency-key': `catalogue-${credentials.username}` };
  const email = `${credentials.username}@example.com`;
  const mailbox = readMailbox(base);
  const tokenOf = async (template: 'verify-email' | 'reset-password') => ({
    token: (await mailbox.next(email, { template })).token,
  });
  await post(`${base}/auth/sign-up`, { ...credentials, email }, key);
  await post(`${base}/auth/sign-up`, { ...credentials, email }, key);
  t.equal((await post(`${base}/auth/email/verify`, await tokenOf('verify-email'))).status, 204);
  const first = (await post(`${base}/auth/sign-in`, credentials)).body;
  const second = (await post(`${base}/auth/sign-in`, credentials)).body;
  await post(`${base}/auth/sign-in`, { ...credentials, password: 'a wrong password' });
  await post(`${base}/auth/sign-in`, credentials, { 'user-agent': 'elsewhere' });
  const refreshed = await post(`${base}/auth/refresh`, { refreshToken: second.refreshToken });
  t.equal(refreshed.status, 200);
  const authorization = { authorization: `Bearer ${first.token}` };
  await get(`${base}/auth/me`, first.token);
  await get(`${base}/auth/sessions`, first.token);
  const change = { currentPassword: credentials.password, newPassword: 'another sesame 43' };
  const changed = await call(`${base}/auth/password`, {
    method: 'PUT',
    headers: { ...authorization, 'content-type': 'application/json' },
    body: JSON.stringify(change),
  });
  t.equal(changed.status, 200);
  await usePasskeys(t, service, credentials.username, changed.body);
  await post(`${base}/auth/sign-out`, { scope: 'all' }, { authorization: `Bearer ${changed.body.token}` });
  await mailbox.next(email, { template: 'new-sign-in' as never });
  await post(`${base}/auth/password/forgot`, { email });
  const reset = { ...(await tokenOf('reset-password')), newPassword: 'the third sesame 44' };
  t.equal((await post(`${base}/auth/password/reset`, reset)).status, 204);
  await mailbox.next(email, { template: 'password-reset' });
  await useApp(service, { ...credentials, password: reset.newPassword });
  await withClient(service.config.databaseUrl, async db => {
    for (const disabled of [true, false]) {
      t.equal(await setDisabled(db, { username: credentials.username, disabled }, SERVICE_ORIGIN), true);
    }
    const ada = await signUpWithApp(service);
    t.match(await inTransaction(db, () => resetFactors(db, ada.id, SERVICE_ORIGIN)), { totp: true });
    const filter = { prefix: credentials.username, isDisabled: false };
    const { accounts } = await listAccounts(db, filter, { after: undefined, limit: 1 });
    t.match(await findAccount(db, accounts[0]?.id as string), { id: accounts[0]?.id });
    const names = { from: credentials.username, to: newCredentials().username };
    t.equal(await inTransaction(db, () => renameAccount(db, names, SERVICE_ORIGIN)), 'renamed');
    t.equal(await inTransaction(db, () => deleteAccount(db, accounts[0]?.id as string, SERVICE_ORIGIN)), 0);
  });

  const { rows } = await sql(
    `SELECT proname AS name, bool_and(provolatile = 'i') AS immutable FROM pg_proc GROUP BY proname`,
  );
  const immutable = new Set(rows.filter(row => row.immutable).map(({ name }) => name));
  const findIn = (text: string) => findForms(text, name => immutable.has(name));
  const seen = new Set<string>();
  for (const text of texts) {
    const { changed, obstacles } = await findIn(text);
    for (const table of changed) seen.add(table);
    t.same(obstacles, [], text);
  }
  t.same([...seen].sort(), [
    ...[
      'audit_events',
      'identifiers',
      'one_time_tokens',
      'passkeys',
      'recovery_codes',
      'sessions',
      'sign_up_keys',
      'totp',
    ],
    ...['used_challenges', 'users'],
  ]);

  for (const [planted, obstacle] of [
    ['UPDATE auth.sessions SET revoked_at = CASE WHEN true THEN now() END', 'sessions: now in CaseExpr'],
    [
      `UPDATE auth.users SET disabled_at = coalesce(disabled_at, created_at + interval '1 day')`,
      'users: an interval in CoalesceExpr',
    ],
    ['UPDATE auth.users SET id = id RETURNING now()', 'users: now in RETURNING'],
    ['INSERT INTO auth.sessions DEFAULT VALUES RETURNING *', 'sessions: RETURNING * without an alias'],
    ['DELETE FROM auth.sessions WHERE ctid IN (SELECT ctid FROM auth.sessions)', 'ctid means something on one node'],
    [
      `WITH a AS (UPDATE auth.sessions SET salt = salt) SELECT pg_notify('a', 'b')`,
      'pg_notify means something on one node',
    ],
  ]) {
    t.same((await findIn(planted as string)).obstacles, [obstacle]);
  }
});

t.test('what ends sessions tells the feed by itself, without the triggers that do so for SQL', async t => {
  const { base, config, sql } = await startService(t, {
    databaseUrl: await createDatabase(),
    sessionsPerAccount: 2,
    refreshGraceS: 0,
  });
  for (const [table, trigger] of [
    ['sessions', 'session_revoked'],
    ['sessions', 'session_deleted'],
    ['users', 'user_disabled'],
    ['revocation_batches', 'feed_drafted'],
  ]) {
    await sql(`DROP TRIGGER ${trigger} ON auth.${table}`);
  }
  const verifying = await startService(t, { ...config, databaseUrl: config.databaseUrl });
  const refused = (token: string) =>
    until(
      async () => (await get(`${verifying.base}/auth/verify`, token)).status === 401,
      'the token is refused elsewhere',
    );

  const credentials = newCredentials();
  const signIn = async () => (await post(`${base}/auth/sign-in`, credentials)).body;
  const { token: oldest } = (await post(`${base}/auth/sign-up`, credentials)).body;
  await signIn();
  const stolen = await signIn();
  await refused(oldest);

  const { refreshToken } = (await post(`${base}/auth/refresh`, { refreshToken: stolen.refreshToken })).body;
  await post(`${base}/auth/refresh`, { refreshToken });
  t.equal((await post(`${base}/auth/refresh`, { refreshToken: stolen.refreshToken })).status, 401);
  await refused(stolen.token);

  const [signedOut, other] = [await signIn(), await signIn()];
  await post(`${base}/auth/sign-out`, {}, { authorization: `Bearer ${signedOut.token}` });
  await refused(signedOut.token);

  await withClient(config.databaseUrl, db =>
    setDisabled(db, { username: credentials.username, disabled: true }, SERVICE_ORIGIN),
  );
  await refused(other.token);
  const { rows } = await sql('SELECT FROM auth.sessions WHERE revoked_at IS NULL OR draft IS NULL');
  t.same(rows, [], 'each has ended and names its draft');
});
