import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mock } from 'node:test';
import { fileURLToPath } from 'node:url';
import { withClient } from '@latchkey/service-kit/database';
import t from 'tap';
import { deleteOldEvents, keepPartitions } from '#src/events/trail.js';
import { commandLine } from './command-line.js';
import { call, createEmptyDatabase, get, newCredentials, post, segment, startService, until } from './helper.js';

t.test('every outcome is one row and one log line, with request id, address and user agent', async t => {
  const service = await startService(t, { trustProxy: ['127.0.0.1'] });
  const { base, sql, logs } = service;
  const headers = { 'user-agent': 'Browser 1', 'x-forwarded-for': '2001:db8::7', 'x-request-id': 'r-1' };
  const told = async () => {
    const { rows } = await sql(
      `SELECT event, user_id, session_id, details, request_id, host(address) AS address, user_agent
       FROM auth.audit_events WHERE request_id IS NOT NULL ORDER BY id`,
    );
    await sql('TRUNCATE auth.audit_events');
    const lines = logs.map(line => JSON.parse(line)).filter(line => line.event && line.reqId);
    logs.length = 0;
    t.same(
      lines.map(({ event, userId, sessionId, reqId }) => [event, userId, sessionId, reqId]),
      rows.map(row => [row.event, row.user_id ?? undefined, row.session_id ?? undefined, row.request_id]),
      'rows and lines tell the same',
    );
    for (const row of rows) t.match(row, { request_id: 'r-1', address: '2001:db8::7', user_agent: 'Browser 1' });
    return rows.map(({ event, user_id, session_id, details }) => [event, user_id, session_id, details]);
  };
  const send = (path: string, body: object, token?: string, method = 'POST') =>
    call(base + path, {
      method,
      headers: { ...headers, 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify(body),
    });

  const credentials = newCredentials();
  const user = (await send('/auth/sign-up', credentials)).body;
  const { id } = user.user;
  const sid = segment(user.token, 1).sid;
  t.same(await told(), [['sign_up', id, sid, null]]);
  await send('/auth/sign-up', credentials);
  t.same(await told(), [['sign_up_failed', null, null, { reason: 'username_taken' }]]);

  const second = (await send('/auth/sign-in', credentials)).body;
  const secondSid = segment(second.token, 1).sid;
  t.same(await told(), [['sign_in', id, secondSid, null]]);
  await send('/auth/sign-in', { ...credentials, password: 'wrong' });
  await send('/auth/sign-in', newCredentials());
  t.same(await told(), [
    ['sign_in_failed', id, null, { reason: 'wrong_password' }],
    ['sign_in_failed', null, null, { reason: 'unknown_account' }],
  ]);

  const refresh = (refreshToken: string) => send('/auth/refresh', { refreshToken });
  const next = (await refresh(second.refreshToken)).body;
  await refresh(second.refreshToken);
  const latest = (await refresh(next.refreshToken)).body;
  t.same(await told(), [['refresh', id, secondSid, null]], 'once a minute, and not when it is asked again');
  await sql(`UPDATE auth.sessions SET refresh_recorded_at = now() - interval '61 seconds'`);
  await refresh(latest.refreshToken);
  await refresh(second.refreshToken);
  t.same(await told(), [
    ['refresh', id, secondSid, null],
    ['refresh_token_reuse', id, secondSid, null],
  ]);

  const change = (currentPassword: string) =>
    send('/auth/password', { currentPassword, newPassword: 'brand new 42' }, user.token, 'PUT');
  await change('wrong');
  const changed = (await change(credentials.password)).body;
  t.same(await told(), [
    ['password_change_failed', id, sid, { reason: 'wrong_password' }],
    ['password_changed', id, sid, { ended: 0 }],
  ]);
  const third = (await send('/auth/sign-in', { ...credentials, password: 'brand new 42' })).body;
  const thirdSid = segment(third.token, 1).sid;
  await call(`${base}/auth/sessions/${thirdSid}`, {
    method: 'DELETE',
    headers: { ...headers, authorization: `Bearer ${changed.token}` },
  });
  await send('/auth/sign-out', { scope: 'all' }, changed.token);
  t.same(await told(), [
    ['sign_in', id, thirdSid, null],
    ['session_ended', id, thirdSid, null],
    ['sign_out', id, sid, { scope: 'all', ended: 1 }],
  ]);

  await sql('UPDATE auth.users SET disabled_at = now() WHERE id = $1', [id]);
  await send('/auth/sign-in', { ...credentials, password: 'brand new 42' });
  await sql('UPDATE auth.users SET disabled_at = NULL, password_hash = NULL WHERE id = $1', [id]);
  await send('/auth/sign-in', { ...credentials, password: 'brand new 42' });
  t.same(await told(), [
    ['sign_in_failed', id, null, { reason: 'disabled' }],
    ['sign_in_failed', id, null, { reason: 'no_password' }],
  ]);
});

t.test('an event says who did it', async t => {
  const { base, sql } = await startService(t, { sessionsPerAccount: 1 });
  const credentials = newCredentials();
  const { user } = (await post(`${base}/auth/sign-up`, credentials)).body;
  await post(`${base}/auth/sign-in`, { ...credentials, password: 'wrong' });
  const { token, refreshToken } = (await post(`${base}/auth/sign-in`, credentials)).body;
  await post(`${base}/auth/refresh`, { refreshToken });
  await post(`${base}/auth/sign-out`, {}, { authorization: `Bearer ${token}` });
  const { rows } = await sql('SELECT event, actor FROM auth.audit_events ORDER BY happened_at, id');
  const account = `account:${user.id}`;
  t.same(
    rows.map(({ event, actor }) => [event, actor]),
    [
      ['signing_key_added', 'service'],
      ['sign_up', account],
      ['sign_in_failed', null],
      ['sign_in', account],
      ['session_ended', 'service'],
      ['refresh', account],
      ['sign_out', account],
    ],
  );
});

t.test('what changes nothing is not told: nobody can fill the table with that', async t => {
  const { base, sql } = await startService(t);
  await post(`${base}/auth/sign-up`, { username: 'somebody', password: 'short' });
  await post(`${base}/auth/refresh`, { refreshToken: 'nonsense' });
  await get(`${base}/auth/me`, 'a.b.c');
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  await post(`${base}/auth/sign-out`, { scope: 'others' }, { authorization: `Bearer ${body.token}` });
  const { rows } = await sql('SELECT event FROM auth.audit_events WHERE request_id IS NOT NULL');
  t.same(rows, [{ event: 'sign_up' }]);
});

t.test('no caller writes what a terminal obeys into rows, lines or lists', async t => {
  const { base, logs, sql } = await startService(t, { trustProxy: ['127.0.0.1'] });
  // Sent as Latin-1: CSI and OSC in one byte each, and a tab, which HTTP lets through.
  const headers = {
    'user-agent': 'Browser\u009b31m\u009d0;title\u009c\tend',
    'x-request-id': 'r-1","level":60,"msg":"forged',
    'x-forwarded-for': '\u009b2J',
  };
  const { body } = await post(`${base}/auth/sign-up`, newCredentials(), headers);
  const { rows } = await sql(
    `SELECT user_agent FROM auth.audit_events WHERE event = 'sign_up' UNION ALL SELECT user_agent FROM auth.sessions`,
  );
  const shown = 'Browser\uFFFD31m\uFFFD0;title\uFFFD\uFFFDend';
  t.same(rows, [{ user_agent: shown }, { user_agent: shown }]);
  t.equal((await get(`${base}/auth/sessions`, body.token)).body.sessions[0].userAgent, shown);
  t.notMatch(logs.join(''), /[\u0080-\u009f]|forged/);
});

t.test('no row holds a password, a token or a hash', async t => {
  const { base, sql } = await startService(t);
  const canary = 'canary-4f1c';
  const credentials = { username: newCredentials().username, password: `${canary} password` };
  const { body } = await post(`${base}/auth/sign-up`, credentials);
  await post(`${base}/auth/sign-in`, { ...credentials, password: `${canary} wrong` });
  await post(`${base}/auth/sign-in`, { username: canary, password: credentials.password });
  const refreshed = (await post(`${base}/auth/refresh`, { refreshToken: body.refreshToken })).body;
  const { rows } = await sql('SELECT * FROM auth.audit_events');
  t.ok(rows.length >= 4);
  const text = JSON.stringify(rows);
  for (const secret of [canary, '$2b$', ...[body.token, body.refreshToken, refreshed.token, refreshed.refreshToken]]) {
    t.notMatch(text, secret.slice(-40));
  }
});

t.test('the trail has a partition for each month, and old ones go as a whole', async t => {
  const service = await startService(t);
  const { sql } = service;
  const partitions = async () => {
    const { rows } = await sql(`SELECT inhrelid::regclass::text AS name FROM pg_inherits
      WHERE inhparent = 'auth.audit_events'::regclass ORDER BY 1`);
    return rows.map(({ name }) => name.replace('auth.audit_events_', ''));
  };
  const month = (after: number) => {
    const now = new Date();
    return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + after))
      .toISOString()
      .slice(0, 7)
      .replace('-', '_');
  };
  const ahead = [0, 1, 2, 3].map(month).sort();
  t.same(await partitions(), [...ahead, 'default']);

  for (const after of [-5, -2]) {
    await sql(`CREATE TABLE auth.audit_events_${month(after)} PARTITION OF auth.audit_events FOR VALUES
      FROM ('${month(after).replace('_', '-')}-01Z') TO ('${month(after + 1).replace('_', '-')}-01Z')`);
  }
  const insert = (event: string, monthsAgo: number, table = 'audit_events') =>
    sql(
      `INSERT INTO auth.${table} (id, event, happened_at)
       VALUES (gen_random_uuid(), $1, date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - make_interval(months => $2))`,
      [event, monthsAgo],
    );
  await insert('long_ago', 5);
  await insert('lately', 2);
  await insert('ages_ago', 50);
  await insert('before_partitions', 6, 'audit_events_before');
  const { rows: placed } = await sql(`SELECT count(*)::int AS count FROM auth.audit_events WHERE place = id`);
  t.ok(placed[0].count >= 3, 'a version that names no place puts them in their own');
  const listed = async () => JSON.parse((await commandLine(service)('events --limit 100 --json')).stdout);
  const names = (events: { event: string }[]) => events.map(({ event }) => event).filter(name => /_|lately/.test(name));
  t.same(names(await listed()).slice(-4), ['lately', 'long_ago', 'before_partitions', 'ages_ago']);

  await keepPartitions(service.app.pg, 0);
  t.equal((await partitions()).length, ahead.length + 3, '0 keeps all');
  await keepPartitions(service.app.pg, 90);
  t.same(await partitions(), [month(-2), ...ahead, 'default'].sort());
  t.equal(await deleteOldEvents(service.app.pg, 90, 1000), 1);
  t.same(names(await listed()).at(-1), 'lately');

  await sql(`DROP TABLE auth.audit_events_${month(3)}`);
  await Promise.all(Array.from({ length: 5 }, () => keepPartitions(service.app.pg, 90)));
  t.ok((await partitions()).includes(month(3)), 'of several replicas, one makes it');
});

t.test('who may only read the trail has none of it dropped, and the migration takes no right away', async t => {
  const databaseUrl = await createEmptyDatabase();
  const role = `reader_${randomBytes(4).toString('hex')}`;
  const folder = fileURLToPath(new URL('../migrations', import.meta.url));
  await withClient(databaseUrl, async client => {
    await client.query(`CREATE ROLE ${role}; CREATE ROLE ${role}_deletes`);
    t.teardown(() =>
      withClient(databaseUrl, db =>
        db.query(`DROP OWNED BY ${role}, ${role}_deletes; DROP ROLE ${role}, ${role}_deletes`),
      ),
    );
    const files = (await readdir(folder)).sort();
    const up = async (file: string) =>
      client.query((await readFile(join(folder, file), 'utf8')).split('-- Down Migration')[0] as string);
    await client.query('CREATE SCHEMA auth');
    for (const file of files.slice(0, files.indexOf('020_audit_partitions.sql'))) await up(file);
    await client.query(
      `GRANT SELECT ON auth.audit_events TO ${role}; GRANT SELECT, INSERT, DELETE ON auth.audit_events TO ${role}_deletes`,
    );
    await up('020_audit_partitions.sql');
    const { rows } = await client.query(
      `SELECT has_table_privilege($1, 'auth.audit_events', 'SELECT') AS reads, has_table_privilege($1, 'auth.audit_events', 'DELETE') AS deletes,
         has_function_privilege($1, 'auth.keep_audit_partitions(integer)', 'EXECUTE') AS drops,
         has_function_privilege($2, 'auth.keep_audit_partitions(integer)', 'EXECUTE') AS other_drops`,
      [role, `${role}_deletes`],
    );
    t.same(rows, [{ reads: true, deletes: false, drops: false, other_drops: true }]);
  });
});

t.test('a cleanup that fails keeps no other from its work', async t => {
  mock.timers.enable({ apis: ['setInterval'] });
  t.teardown(() => mock.timers.reset());
  const { base, sql, logs } = await startService(t);
  await post(`${base}/auth/sign-up`, newCredentials());
  await sql(
    `UPDATE auth.sessions SET expires_at = now() - interval '2 days'; DROP FUNCTION auth.keep_audit_partitions`,
  );
  mock.timers.tick(3_600_000);
  await until(async () => (await sql('SELECT FROM auth.sessions')).rowCount === 0, 'the ended session is deleted');
  t.match(logs.join(''), /cannot clean the database up/);
});
