import { createHash } from 'node:crypto';
import type { Queryable } from '@latchkey/service-kit/database';
import fc from 'fast-check';
import t from 'tap';
import { changePassword } from '#src/credentials/password/change.js';
import { hashValues } from '#src/credentials/password/stored-passwords.js';
import { listSessions } from '#src/sessions/list.js';
import { startSession } from '#src/sessions/start.js';
import {
  call,
  createDatabase,
  get,
  newCredentials,
  post,
  type Service,
  segment,
  startService,
  until,
} from './helper.js';

const refresh = ({ base }: Service, refreshToken: string) => post(`${base}/auth/refresh`, { refreshToken });
const signUp = async ({ base }: Service) => {
  const credentials = newCredentials();
  return { credentials, ...(await post(`${base}/auth/sign-up`, credentials)).body };
};
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const signOut = ({ base }: Service, token: string, body: object = {}) =>
  post(`${base}/auth/sign-out`, body, bearer(token));

t.test('a session is refreshed, each token once', async t => {
  const service = await startService(t);
  const first = await signUp(service);
  t.equal(first.refreshExpiresIn, service.config.refreshTokenTtlS);
  const { id, sid } = segment(first.token, 1);
  t.match(first.refreshToken, new RegExp(`^${id}\\.${sid}\\.0\\.[\\w-]{43}$`));

  const second = await refresh(service, first.refreshToken);
  t.equal(second.status, 200);
  t.equal(second.headers.get('cache-control'), 'no-store');
  t.same(second.body.user, first.user);
  t.match(second.body.refreshToken, new RegExp(`^${id}\\.${sid}\\.1\\.`));
  t.equal(segment(second.body.token, 1).sid, sid);
  t.equal((await get(`${service.base}/auth/me`, second.body.token)).status, 200);
  t.equal((await get(`${service.base}/auth/verify`, second.body.token)).headers.get('x-auth-session-id'), sid);

  const third = await refresh(service, second.body.refreshToken);
  t.match(third.body.refreshToken, new RegExp(`^${id}\\.${sid}\\.2\\.`));
});

t.test('a lost answer may be asked for again: the parent gives the same successor', async t => {
  const service = await startService(t);
  const { refreshToken } = await signUp(service);
  const answers = [];
  for (let i = 0; i < 5; i++) answers.push((await refresh(service, refreshToken)).body.refreshToken);
  t.equal(new Set(answers).size, 1);
  t.equal((await refresh(service, answers[0])).status, 200);
});

t.test('parallel refreshes on several replicas have one live successor', async t => {
  const databaseUrl = await createDatabase();
  const authSecrets: [{ id: string; key: Buffer }] = [{ id: 'one', key: Buffer.alloc(32, 1) }];
  const start = () => startService(t, { databaseUrl, authSecrets, logLevel: 'silent' });
  const replicas = [await start(), await start(), await start()] as [Service, Service, Service];
  let { refreshToken } = await signUp(replicas[0]);
  for (let round = 1; round <= 100; round++) {
    const race = Array.from({ length: 6 }, (_, i) => refresh(replicas[i % 3] as Service, refreshToken));
    const answers = await Promise.all(race);
    const successors = new Set(answers.map(({ status, body }) => (status === 200 ? body.refreshToken : status)));
    t.equal(successors.size, 1, `round ${round}: ${[...successors].map(String)}`);
    refreshToken = answers[0]?.body.refreshToken;
    t.equal(refreshToken.split('.')[2], String(round));
  }
});

t.test('a grandparent is theft and ends the session', async t => {
  const service = await startService(t);
  const first = await signUp(service);
  const second = (await refresh(service, first.refreshToken)).body;
  const third = (await refresh(service, second.refreshToken)).body;
  const stolen = await refresh(service, first.refreshToken);
  t.equal(stolen.status, 401);
  t.match(stolen.body, { code: 'invalid_refresh_token' });
  t.equal((await refresh(service, third.refreshToken)).status, 401, 'for the thief and the owner');
  t.equal((await get(`${service.base}/auth/me`, third.token)).status, 401);
  t.match(service.logs.join(''), /"event":"refresh_token_reuse"/);
});

t.test('the parent is theft too when the grace period is over', async t => {
  const service = await startService(t, { refreshGraceS: 0 });
  const first = await signUp(service);
  const second = (await refresh(service, first.refreshToken)).body;
  t.equal((await refresh(service, first.refreshToken)).status, 401);
  t.equal((await refresh(service, second.refreshToken)).status, 401);
});

t.test('a copy of the database makes no refresh token', async t => {
  const service = await startService(t);
  const { refreshToken, token } = await signUp(service);
  const { rows } = await service.sql('SELECT * FROM auth.sessions');
  t.notMatch(JSON.stringify(rows), refreshToken.split('.')[3]);
  const { id, sid } = segment(token, 1);
  for (const mac of [
    createHash('sha256').update(rows[0].salt).digest('base64url'),
    createHash('sha256').update(`${id}.${sid}.0`).update(rows[0].salt).digest('base64url'),
  ]) {
    t.equal((await refresh(service, `${id}.${sid}.0.${mac}`)).status, 401);
    t.equal((await refresh(service, `${sid}.0.${mac}`)).status, 401);
  }
  t.equal((await refresh(service, refreshToken)).status, 200, 'and a forged one does not hurt the session');
});

t.test(
  'refresh tokens name the account, from two days after the replicas of the version before were replaced',
  async t => {
    const databaseUrl = await createDatabase();
    const service = await startService(t, { databaseUrl });
    const fresh = await signUp(service);
    const { id, sid } = segment(fresh.token, 1);
    t.ok(fresh.refreshToken.startsWith(`${id}.${sid}.0.`), 'a new database has had no such version');
    const other = await signUp(service);
    const mac = fresh.refreshToken.split('.')[3];
    const strange = `${segment(other.token, 1).id}.${sid}.0.${mac}`;
    for (const forged of [strange, `${sid}.0.${mac}`]) t.equal((await refresh(service, forged)).status, 401, forged);

    const migratedAgo = (ago: string) =>
      service.sql(`UPDATE auth.migrations SET run_on = run_on - interval '30 days' WHERE name < '019';
      UPDATE auth.migrations SET run_on = now() - interval '${ago}' WHERE name = '019_sessions_by_account'`);
    await migratedAgo('47 hours');
    const during = await startService(t, service.config);
    const { body: old } = await refresh(during, fresh.refreshToken);
    t.match(old.refreshToken, new RegExp(`^${sid}\\.1\\.[\\w-]{43}$`), 'as the version before knows them');
    t.equal((await refresh(during, old.refreshToken)).status, 200);
    await migratedAgo('49 hours');
    const after = await startService(t, service.config);
    const { body: next } = await refresh(after, old.refreshToken);
    t.ok(next.refreshToken.startsWith(`${id}.${sid}.2.`), 'and goes on from there');
    t.equal((await refresh(during, next.refreshToken)).status, 200, 'which everybody of this version takes');
  },
);

t.test('no mutation of a refresh token passes, or ends the session', async t => {
  const service = await startService(t, { logLevel: 'silent' });
  const { refreshToken } = await signUp(service);
  const characters = fc.constantFrom(...'ABCXYZabcxyz0123456789-_.');
  await fc.assert(
    fc.asyncProperty(fc.nat(refreshToken.length - 1), characters, async (at, character) => {
      const mutated = refreshToken.slice(0, at) + character + refreshToken.slice(at + 1);
      return mutated === refreshToken || (await refresh(service, mutated)).status === 401;
    }),
    { numRuns: 500 },
  );
  for (const odd of ['', '.', '..', 'x'.repeat(256), `${refreshToken}.`, refreshToken.toUpperCase()]) {
    t.equal((await refresh(service, odd)).status, 401, odd.slice(0, 40));
  }
  t.equal((await refresh(service, 'x'.repeat(257))).status, 400);
  t.equal((await refresh(service, refreshToken)).status, 200);
});

t.test('tokens outlive a change of the current secret, and die with their own', async t => {
  const databaseUrl = await createDatabase();
  const [old, young] = ['old', 'young'].map(id => ({ id, key: Buffer.alloc(32, id) })) as [never, never];
  const before = await startService(t, { databaseUrl, authSecrets: [old] });
  const { refreshToken } = await signUp(before);
  const after = await startService(t, { databaseUrl, authSecrets: [young, old] });
  const refreshed = await refresh(after, refreshToken);
  t.equal(refreshed.status, 200);
  t.equal((await refresh(before, refreshed.body.refreshToken)).status, 401, 'the new one is made with the new secret');
});

t.test('idle and absolute limits hold', async t => {
  const service = await startService(t, { refreshTokenTtlS: 2, sessionMaxAgeS: 3 });
  const idle = await signUp(service);
  const busy = await signUp(service);
  t.equal(idle.refreshExpiresIn, 2);
  await new Promise(resolve => setTimeout(resolve, 1200));
  const refreshed = await refresh(service, busy.refreshToken);
  t.equal(refreshed.status, 200);
  await new Promise(resolve => setTimeout(resolve, 1000));
  t.equal((await refresh(service, idle.refreshToken)).status, 401, 'idle for too long');
  const again = await refresh(service, refreshed.body.refreshToken);
  t.equal(again.status, 200);
  t.equal(again.body.refreshExpiresIn, 1, 'never beyond the absolute limit');
  await new Promise(resolve => setTimeout(resolve, 1000));
  t.equal((await refresh(service, again.body.refreshToken)).status, 401);
});

t.test('sign-out ends the current session, the others, or all', async t => {
  const service = await startService(t);
  const { credentials, ...first } = await signUp(service);
  const signIn = async () => (await post(`${service.base}/auth/sign-in`, credentials)).body;
  const [second, third] = [await signIn(), await signIn()];
  const alive = async (...sessions: { token: string }[]) => {
    return Promise.all(sessions.map(async ({ token }) => (await get(`${service.base}/auth/me`, token)).status === 200));
  };
  t.same(await alive(first, second, third), [true, true, true]);
  t.equal((await signOut(service, first.token)).status, 204);
  t.same(await alive(first, second, third), [false, true, true]);
  t.equal((await refresh(service, first.refreshToken)).status, 401);
  t.equal((await signOut(service, first.token, { scope: 'all' })).status, 401, 'an ended session ends no others');
  t.equal((await signOut(service, second.token, { scope: 'others' })).status, 204);
  t.same(await alive(second, third), [true, false]);
  const brief = await signIn();
  const noBody = { method: 'POST', headers: bearer(brief.token) };
  t.equal((await call(`${service.base}/auth/sign-out`, noBody)).status, 204, 'the body is optional');
  const typed = { method: 'POST', headers: { ...bearer((await signIn()).token), 'content-type': 'application/json' } };
  t.equal((await call(`${service.base}/auth/sign-out`, typed)).status, 204, 'also with its type');
  t.equal((await call(`${service.base}/auth/refresh`, typed)).body.code, 'invalid_json', 'elsewhere it is not');
  t.same(await alive(second, brief), [true, false]);
  const fourth = await signIn();
  t.equal((await signOut(service, second.token, { scope: 'all' })).status, 204);
  t.same(await alive(second, fourth), [false, false]);
  const fifth = await signIn();
  t.equal((await signOut(service, fifth.token, { scope: 'everything' })).body.code, 'invalid_request');
});

t.test('people see and end their own sessions', async t => {
  const service = await startService(t);
  const { credentials, ...first } = await signUp(service);
  const second = (await post(`${service.base}/auth/sign-in`, credentials, { 'user-agent': `Phone ${'x'.repeat(300)}` }))
    .body;
  const stranger = await signUp(service);
  const { body } = await get(`${service.base}/auth/sessions`, first.token);
  t.match(body.sessions, [
    { id: segment(second.token, 1).sid, address: '127.0.0.1', current: false, createdAt: /Z$/, lastUsedAt: /Z$/ },
    { id: segment(first.token, 1).sid, current: true },
  ]);
  t.equal(body.sessions[0].userAgent.length, 256);
  const end = (token: string, id: string) =>
    call(`${service.base}/auth/sessions/${id}`, { method: 'DELETE', headers: bearer(token) });
  t.equal((await end(stranger.token, body.sessions[0].id)).status, 404);
  for (const odd of ['x', `urn:uuid:${body.sessions[0].id}`]) t.equal((await end(first.token, odd)).status, 400);
  t.equal((await end(first.token, body.sessions[0].id)).status, 204);
  t.equal((await end(first.token, body.sessions[0].id)).status, 404);
  t.equal((await refresh(service, second.refreshToken)).status, 401);
  t.equal((await get(`${service.base}/auth/sessions`, first.token)).body.sessions.length, 1);
});

const signIn = ({ base }: Service, credentials: object) => post(`${base}/auth/sign-in`, credentials);
const sidOf = ({ token }: { token: string }): string => segment(token, 1).sid;
const countLive = async ({ sql }: Service, userId: string): Promise<number> => {
  const { rows } = await sql(
    'SELECT FROM auth.sessions WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now()',
    [userId],
  );
  return rows.length;
};
/** Gives an account sessions that began before any other, as there are from before there was a limit. */
const addSessions = async ({ sql }: Service, userId: string, count: number) => {
  await sql(
    `INSERT INTO auth.sessions (id, user_id, salt, expires_at, ends_at, user_agent, address)
     SELECT lpad(to_hex(n), 32, '0')::uuid, $1, '', now() + interval '1 day', now() + interval '1 day', repeat('x', 256),
       '198.51.100.1' FROM generate_series(1, $2::int) AS n`,
    [userId, count],
  );
  await sql('ANALYZE auth.sessions');
};

t.test('the list of sessions comes in pages', async t => {
  const service = await startService(t);
  const { credentials, ...first } = await signUp(service);
  const begun = [first];
  for (let i = 0; i < 4; i++) begun.push((await signIn(service, credentials)).body);
  const newestFirst = begun.map(sidOf).reverse();
  const list = async (query: string) => (await get(`${service.base}/auth/sessions${query}`, first.token)).body;
  const ids = (page: { sessions: { id: string }[] }) => page.sessions.map(({ id }) => id);

  t.notOk('next' in (await list('')));
  t.same(ids(await list('?limit=5')), newestFirst);
  const one = await list('?limit=2');
  t.same(ids(one), newestFirst.slice(0, 2));
  t.equal(one.next, newestFirst[1]);
  await service.sql('UPDATE auth.sessions SET revoked_at = now() WHERE id = $1', [one.next]);
  const two = await list(`?after=${one.next.toUpperCase()}&limit=2`);
  t.same(ids(two), newestFirst.slice(2, 4), 'also behind one that has ended meanwhile');
  const three = await list(`?limit=2&after=${two.next}`);
  t.same(ids(three), newestFirst.slice(4));
  t.notOk('next' in three);
  t.same(ids(await list(`?after=${newestFirst[4]}`)), []);

  const bad = ['limit=0', 'limit=101', 'limit=-1', 'limit=1e1', 'limit=', 'limit=1&limit=2', 'after=', 'after=x'];
  for (const query of [...bad, `after=urn:uuid:${one.next}`, 'before=1']) {
    t.match(await list(`?${query}`), { status: 400, code: 'invalid_request' }, query);
  }
});

t.test('a list costs no more than a page, however many sessions and ended ones there are', async t => {
  const service = await startService(t);
  const { token, user } = await signUp(service);
  await addSessions(service, user.id, 30_000);
  const list = (query = '') => get(`${service.base}/auth/sessions${query}`, token);
  for (const { status, text, body } of await Promise.all(Array.from({ length: 10 }, () => list()))) {
    t.equal(status, 200);
    t.equal(body.sessions.length, 100);
    t.ok(text.length < 100 * 512, `${text.length} bytes`);
  }
  /** How many blocks of the table and its indexes the statement of a page reads. */
  const countBlocks = async (after?: string) => {
    let blocks = 0;
    const query = async (statement: string, values: unknown[]) => {
      const { rows } = await service.sql(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${statement}`, values);
      const [{ Plan }] = rows[0]['QUERY PLAN'];
      blocks += Plan['Shared Hit Blocks'] + Plan['Shared Read Blocks'];
      return { rows: [] };
    };
    await listSessions({ query } as never, { accountId: user.id, sessionId: sidOf({ token }) }, { after, limit: 100 });
    return blocks;
  };
  const { next } = (await list()).body;
  for (const after of [undefined, next]) t.ok((await countBlocks(after)) < 200);
  await service.sql('UPDATE auth.sessions SET revoked_at = now() WHERE id <> $1', [sidOf({ token })]);
  await service.sql('VACUUM auth.sessions');
  for (const after of [undefined, next]) t.ok((await countBlocks(after)) < 200, 'when all the others have ended');
  t.equal((await list()).body.sessions.length, 1);
});

t.test('a sign-in beyond the limit ends the oldest session', async t => {
  const service = await startService(t, { sessionsPerAccount: 3 });
  const { credentials, ...first } = await signUp(service);
  const second = (await signIn(service, credentials)).body;
  const third = (await signIn(service, credentials)).body;
  t.notMatch(service.logs.join(''), /session_ended/);
  await refresh(service, first.refreshToken);
  const fourth = (await signIn(service, credentials)).body;
  t.equal((await get(`${service.base}/auth/verify`, first.token)).status, 401, 'whose tokens are refused at once');
  t.equal((await refresh(service, first.refreshToken)).status, 401);
  for (const { token } of [second, third, fourth]) {
    t.equal((await get(`${service.base}/auth/verify`, token)).status, 200);
  }
  const { rows } = await service.sql(
    `SELECT user_id, session_id, address, details FROM auth.audit_events WHERE event = 'session_ended'`,
  );
  const details = { reason: 'too_many_sessions', ended: 1 };
  t.same(rows, [{ user_id: first.user.id, session_id: sidOf(first), address: '127.0.0.1', details }]);
  const logged = service.logs.map(line => JSON.parse(line)).filter(({ event }) => event === 'session_ended');
  t.match(logged, [{ userId: first.user.id, details }]);

  await signOut(service, third.token);
  await signIn(service, credentials);
  t.equal((await get(`${service.base}/auth/verify`, second.token)).status, 200, 'an ended session does not count');
  const stranger = await signUp(service);
  t.equal((await get(`${service.base}/auth/verify`, stranger.token)).status, 200);
});

t.test('one session an account, and a sign-up that comes again when its session has gone on', async t => {
  const service = await startService(t, { sessionsPerAccount: 1 });
  const credentials = newCredentials();
  const headers = { 'idempotency-key': credentials.username };
  const first = (await post(`${service.base}/auth/sign-up`, credentials, headers)).body;
  const next = (await refresh(service, first.refreshToken)).body;
  const again = (await post(`${service.base}/auth/sign-up`, credentials, headers)).body;
  t.not(sidOf(again), sidOf(first));
  t.equal((await get(`${service.base}/auth/verify`, next.token)).status, 401);
  t.equal((await get(`${service.base}/auth/verify`, again.token)).status, 200);
});

t.test('sign-ins at once on several replicas keep to the limit, whatever else ends sessions meanwhile', async t => {
  const one = await startService(t, { sessionsPerAccount: 3 });
  const other = await startService(t, one.config);
  const replicas = [one, other];
  for (let round = 0; round < 8; round++) {
    const { credentials, user, token } = await signUp(one);
    let over = false;
    const watch = async () => {
      let most = 0;
      while (!over) most = Math.max(most, await countLive(other, user.id));
      return most;
    };
    const watching = watch();
    const signIns = Array.from({ length: 20 }, (_, i) => signIn(replicas[i % 2] as Service, credentials));
    const body = JSON.stringify({ currentPassword: credentials.password, newPassword: 'brand new 42' });
    const headers = { 'content-type': 'application/json', ...bearer(token) };
    const ending = [
      async () => [],
      async () => [(await call(`${one.base}/auth/password`, { method: 'PUT', headers, body })).status],
      async () => [(await signOut(other, token, { scope: 'all' })).status],
      async () => Promise.all(signIns.map(async answer => (await signOut(one, (await answer).body.token)).status)),
    ][round % 4] as () => Promise<number[]>;
    const ended = await ending();
    for (const { status } of await Promise.all(signIns)) t.ok([200, 401].includes(status), `${status}`);
    for (const status of ended) t.ok([200, 204, 401].includes(status), `${status}`);
    over = true;
    t.ok((await watching) <= 3, 'never more than three');
    if (round % 4 === 0) t.equal(await countLive(one, user.id), 3);
  }
  t.notMatch([...one.logs, ...other.logs].join(''), /"level":[56]0/);
});

t.test('an account with far too many sessions comes down to the limit in steps', async t => {
  const service = await startService(t, { sessionsPerAccount: 3 });
  const { credentials, user } = await signUp(service);
  await addSessions(service, user.id, 1500);
  await signIn(service, credentials);
  t.equal(await countLive(service, user.id), 502);
  await signIn(service, credentials);
  t.equal(await countLive(service, user.id), 3);
  const { rows } = await service.sql(
    `SELECT session_id, details->>'ended' AS ended FROM auth.audit_events WHERE event = 'session_ended' ORDER BY id`,
  );
  t.same(rows, [
    { session_id: null, ended: '1000' },
    { session_id: null, ended: '500' },
  ]);
  const { body } = await get(`${service.base}/auth/sessions`, (await signIn(service, credentials)).body.token);
  t.equal(body.sessions.filter(({ address }: { address: string }) => address === '198.51.100.1').length, 0);
});

t.test('a session that begins while its account changes is refused or ended', async t => {
  const { app, config, sql, base } = await startService(t);
  const origin = { requestId: null, address: null, userAgent: null, actor: null };
  const proofOf = (accountId: string) => ({ accountId, credentialVersion: 1, amr: ['pwd'] });
  const changes = {
    'is disabled': (db: Queryable, id: string) =>
      db.query('UPDATE auth.users SET disabled_at = now() WHERE id = $1', [id]),
    'gets another password': async (db: Queryable, id: string, sessionId: string) =>
      changePassword(db, { accountId: id, sessionId, credentialVersion: 1, ...hashValues('x') }, config, origin),
  };
  /** Whether somebody waits for a lock, which shows that one statement has met the other. */
  const isBlocked = async () => {
    const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    return (await sql(waiting)).rows.length > 0;
  };
  for (const [what, change] of Object.entries(changes)) {
    for (const isChangeFirst of [true, false]) {
      const { body } = await post(`${base}/auth/sign-up`, newCredentials());
      const { id } = body.user;
      const [one, other] = [await app.pg.connect(), await app.pg.connect()];
      let isOver = false;
      try {
        const begins = (db: Queryable) => startSession(db, proofOf(id), 'sign_in', config, origin);
        const alters = (db: Queryable) => change(db, id, sidOf(body));
        const [first, second] = isChangeFirst ? [alters, begins] : [begins, alters];
        await one.query('BEGIN');
        await other.query('BEGIN');
        const before = await first(one);
        const meanwhile = second(other).finally(() => {
          isOver = true;
        });
        await until(async () => isOver || (await isBlocked()), 'they meet');
        await one.query('COMMIT');
        const after = await meanwhile;
        await other.query('COMMIT');
        if (isChangeFirst) t.equal(after, undefined, `an account that ${what} begins none`);
        else t.ok(before, 'it began before that');
      } finally {
        one.release();
        other.release();
      }
      const { rows } = await sql('SELECT FROM auth.sessions WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL', [
        id,
        sidOf(body),
      ]);
      t.same(rows, [], `none is left when an account ${what} ${isChangeFirst ? 'before' : 'after'}`);
    }
  }
});

t.test('an odd forwarded address does not stand in the way', async t => {
  const service = await startService(t, { trustProxy: ['127.0.0.1'] });
  const addresses: [forwarded: string, shown: string | null][] = [
    ['fe80::1%eth0', 'fe80::1'],
    ['2001:db8::1', '2001:db8::1'],
    ['garbage', null],
    ['unknown, 203.0.113.9', '203.0.113.9'],
  ];
  for (const [forwarded, shown] of addresses) {
    const headers = { 'x-forwarded-for': forwarded };
    const { status, body } = await post(`${service.base}/auth/sign-up`, newCredentials(), headers);
    t.equal(status, 201, forwarded);
    t.equal((await get(`${service.base}/auth/sessions`, body.token)).body.sessions[0].address, shown);
  }
});

t.test('a changed password ends every other session', async t => {
  const service = await startService(t);
  const { credentials, ...first } = await signUp(service);
  const other = (await post(`${service.base}/auth/sign-in`, credentials)).body;
  const change = (body: object) =>
    call(`${service.base}/auth/password`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...bearer(first.token) },
      body: JSON.stringify(body),
    });
  const { password: currentPassword } = credentials;
  t.match(await change({ currentPassword: 'wrong', newPassword: 'brand new 42' }), {
    status: 401,
    body: { code: 'invalid_credentials' },
  });
  const weak = await change({ currentPassword, newPassword: 'short' });
  t.match(weak.body, { code: 'password_rejected', errors: [{ pointer: '/newPassword', reason: 'too_short' }] });
  t.equal((await refresh(service, other.refreshToken)).status, 200, 'nothing has happened yet');

  const changed = await change({ currentPassword, newPassword: 'brand new 42' });
  t.equal(changed.status, 200);
  t.equal((await get(`${service.base}/auth/me`, other.token)).status, 401);
  t.equal((await get(`${service.base}/auth/me`, changed.body.token)).status, 200);
  t.equal((await refresh(service, first.refreshToken)).status, 401, 'a copied token is worth nothing');
  t.equal((await get(`${service.base}/auth/me`, changed.body.token)).status, 200, 'and ends nothing');
  t.equal((await refresh(service, changed.body.refreshToken)).status, 200);
  t.equal((await post(`${service.base}/auth/sign-in`, credentials)).status, 401);
  t.equal((await post(`${service.base}/auth/sign-in`, { ...credentials, password: 'brand new 42' })).status, 200);
});

t.test('no sign-in with the old password survives a change of it', async t => {
  const service = await startService(t, { logLevel: 'silent' });
  for (let round = 0; round < 15; round++) {
    const { credentials, token } = await signUp(service);
    const signIns = Array.from({ length: 12 }, () => post(`${service.base}/auth/sign-in`, credentials));
    const changed = await call(`${service.base}/auth/password`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...bearer(token) },
      body: JSON.stringify({ currentPassword: credentials.password, newPassword: 'brand new 42' }),
    });
    t.equal(changed.status, 200);
    for (const { status, body } of await Promise.all(signIns)) {
      if (status === 200) t.equal((await get(`${service.base}/auth/me`, body.token)).status, 401);
    }
  }
});

t.test('no sign-in survives the disabling of its account', async t => {
  const service = await startService(t, { logLevel: 'silent' });
  for (let round = 0; round < 10; round++) {
    const { credentials, user } = await signUp(service);
    const signIns = Array.from({ length: 12 }, () => post(`${service.base}/auth/sign-in`, credentials));
    await service.sql('UPDATE auth.users SET disabled_at = now() WHERE id = $1', [user.id]);
    await Promise.all(signIns);
    const { rows } = await service.sql('SELECT FROM auth.sessions WHERE user_id = $1 AND revoked_at IS NULL', [
      user.id,
    ]);
    t.equal(rows.length, 0);
  }
});

t.test('signing in on several devices at once works when the hash is due for renewal', async t => {
  const before = await startService(t, { bcryptCost: 4 });
  const { credentials } = await signUp(before);
  const after = await startService(t, { ...before.config, bcryptCost: 5 });
  const answers = await Promise.all([1, 2, 3, 4].map(() => post(`${after.base}/auth/sign-in`, credentials)));
  t.same(
    answers.map(({ status }) => status),
    [200, 200, 200, 200],
  );
});

t.test('a token that is longer than today’s does not outlive its session', async t => {
  const before = await startService(t, { accessTokenTtlS: 3600 });
  const { token, refreshToken } = await signUp(before);
  const after = await startService(t, { ...before.config, accessTokenTtlS: 1 });
  const next = (await refresh(after, refreshToken)).body;
  t.equal(next.expiresIn, 1);
  await signOut(before, token);
  const { rows } = await before.sql(
    `SELECT expires_at > now() + interval '30 minutes' AS long
     FROM (SELECT expires_at FROM auth.feed_drafts UNION SELECT expires_at FROM auth.feed_pages) AS told`,
  );
  t.same(rows, [{ long: true }], 'it is told for as long as the longest lives');
});

t.test('password changes and sign-outs of all do not wait for each other', async t => {
  const service = await startService(t, { logLevel: 'silent' });
  for (let round = 0; round < 10; round++) {
    const { credentials, ...first } = await signUp(service);
    const others = await Promise.all(
      Array.from({ length: 8 }, async () => (await post(`${service.base}/auth/sign-in`, credentials)).body),
    );
    const body = JSON.stringify({ currentPassword: credentials.password, newPassword: 'brand new 42' });
    const headers = { 'content-type': 'application/json', ...bearer(first.token) };
    const answers = await Promise.all([
      call(`${service.base}/auth/password`, { method: 'PUT', headers, body }),
      ...others.map(({ token }) => signOut(service, token, { scope: 'all' })),
    ]);
    for (const { status } of answers) t.ok([200, 204, 401].includes(status), String(status));
  }
});

t.test('of two password changes at once, one wins', async t => {
  const service = await startService(t);
  const { credentials, token } = await signUp(service);
  const change = (newPassword: string) =>
    call(`${service.base}/auth/password`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...bearer(token) },
      body: JSON.stringify({ currentPassword: credentials.password, newPassword }),
    });
  const answers = await Promise.all(['brand new 1', 'brand new 2', 'brand new 3'].map(change));
  t.same(answers.map(({ status }) => status).sort(), [200, 401, 401]);
});

t.test('a disabled account is signed out', async t => {
  const service = await startService(t);
  const { token, refreshToken, user } = await signUp(service);
  await service.sql('UPDATE auth.users SET disabled_at = now() WHERE id = $1', [user.id]);
  t.equal((await refresh(service, refreshToken)).status, 401);
  t.equal((await get(`${service.base}/auth/me`, token)).status, 401);
});

t.test('a refresh is a HOT update', async t => {
  const service = await startService(t);
  let { refreshToken } = await signUp(service);
  for (let i = 0; i < 10; i++) refreshToken = (await refresh(service, refreshToken)).body.refreshToken;
  await service.sql('SELECT pg_stat_force_next_flush()');
  const { rows } = await service.sql(
    `SELECT n_tup_upd::int AS all, n_tup_hot_upd::int AS hot FROM pg_stat_user_tables WHERE relname = 'sessions'`,
  );
  t.ok(rows[0].all > 0);
  t.equal(rows[0].hot, rows[0].all);
});
