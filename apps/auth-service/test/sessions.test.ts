import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { call, createDatabase, get, newCredentials, post, type Service, segment, startService } from './helper.js';

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
  t.equal(first.refreshExpiresIn, 86_400);
  const { sid } = segment(first.token, 1);
  t.match(first.refreshToken, new RegExp(`^${sid}\\.0\\.[\\w-]{43}$`));

  const second = await refresh(service, first.refreshToken);
  t.equal(second.status, 200);
  t.equal(second.headers.get('cache-control'), 'no-store');
  t.same(second.body.user, first.user);
  t.match(second.body.refreshToken, new RegExp(`^${sid}\\.1\\.`));
  t.equal(segment(second.body.token, 1).sid, sid);
  t.equal((await get(`${service.base}/auth/me`, second.body.token)).status, 200);
  t.equal((await get(`${service.base}/auth/verify`, second.body.token)).headers.get('x-auth-session-id'), sid);

  const third = await refresh(service, second.body.refreshToken);
  t.match(third.body.refreshToken, new RegExp(`^${sid}\\.2\\.`));
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
    t.equal(refreshToken.split('.')[1], String(round));
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
  t.notMatch(JSON.stringify(rows), refreshToken.split('.')[2]);
  const { sid } = segment(token, 1);
  for (const mac of [
    createHash('sha256').update(rows[0].salt).digest('base64url'),
    createHash('sha256').update(`${sid}.0`).update(rows[0].salt).digest('base64url'),
  ]) {
    t.equal((await refresh(service, `${sid}.0.${mac}`)).status, 401);
  }
  t.equal((await refresh(service, refreshToken)).status, 200, 'and a forged one does not hurt the session');
});

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
  t.equal((await refresh(service, first.refreshToken)).status, 401, 'whoever has copied a token has nothing');
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
  const { rows } = await before.sql("SELECT expires_at > now() + interval '30 minutes' AS long FROM auth.revocations");
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
