import { randomUUID } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { deleteOldKeys } from '#src/accounts/sign-up.js';
import { type Config, loadSettings } from '#src/config/settings.js';
import { type Answer, get, newCredentials, post, type Service, segment, startService, until } from './helper.js';

type Credentials = ReturnType<typeof newCredentials>;

const signUp = ({ base }: Service, credentials: Credentials, key?: string, headers = {}): Promise<Answer> =>
  post(`${base}/auth/sign-up`, credentials, { ...headers, ...(key !== undefined && { 'idempotency-key': key }) });
const signIn = ({ base }: Service, credentials: Credentials, headers = {}) =>
  post(`${base}/auth/sign-in`, credentials, headers);
const sidOf = ({ body }: Answer): string => segment(body.token, 1).sid;

async function counts({ sql }: Service, { username }: Credentials) {
  const { rows } = await sql(
    `SELECT count(DISTINCT u.id)::int AS users, count(s.id)::int AS sessions
     FROM auth.users u JOIN auth.sessions s ON s.user_id = u.id WHERE lower(u.username) = lower($1)`,
    [username],
  );
  return rows[0];
}

async function events({ sql }: Service, userId: string) {
  const { rows } = await sql(
    'SELECT event, session_id, details FROM auth.audit_events WHERE user_id = $1 ORDER BY id',
    [userId],
  );
  return rows.map(({ event, session_id, details }) => [event, session_id, details]);
}

/** Sends a sign-up, and reads no answer. */
function send({ base }: Service, credentials: Credentials, key: string): Socket {
  const { hostname, port } = new URL(base);
  const body = JSON.stringify(credentials);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  socket.write(
    `POST /auth/sign-up HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nidempotency-key: "${key}"\r\n` +
      `content-length: ${body.length}\r\n\r\n${body}`,
  );
  return socket;
}

async function startTwo(t: Test, overrides: Partial<Config> = {}): Promise<[Service, Service]> {
  const one = await startService(t, overrides);
  const { databaseUrl, authSecrets } = one.config;
  return [one, await startService(t, { ...overrides, databaseUrl, authSecrets })];
}

t.test(
  'a sign-up whose response was lost may be repeated at any replica, and gets the account and the session',
  async t => {
    const [one, other] = await startTwo(t);
    const credentials = newCredentials();
    const key = randomUUID();
    const socket = send(one, credentials, key);
    await until(async () => (await counts(one, credentials)).users === 1, 'the account is there');
    socket.destroy();

    const again = await signUp(other, credentials, `"${key}"`);
    t.equal(again.status, 201);
    t.equal(again.headers.get('cache-control'), 'no-store');
    const third = await signUp(one, { ...credentials, username: credentials.username.toUpperCase() }, key);
    t.equal(third.status, 201, 'without the quotes, and in another case');
    t.same(third.body.user, again.body.user);
    t.equal(third.body.user.username, credentials.username);
    t.equal(third.body.refreshToken, again.body.refreshToken);
    t.same(await counts(one, credentials), { users: 1, sessions: 1 });
    t.match(segment(third.body.token, 1), { sub: again.body.user.id, sid: sidOf(again) });
    t.same((await get(`${one.base}/auth/me`, third.body.token)).body, again.body.user);
    t.equal((await post(`${other.base}/auth/refresh`, { refreshToken: again.body.refreshToken })).status, 200);
  },
);

t.test('whenever the connection breaks, the next try gets one account and one session', async t => {
  const service = await startService(t);
  for (let round = 0; round < 30; round++) {
    const credentials = newCredentials();
    const key = randomUUID();
    const socket = send(service, credentials, key);
    await sleep(round / 2);
    socket.destroy();
    const { status } = await signUp(service, credentials, key);
    // The first may have begun its hash and still be on the way.
    await sleep(20);
    t.equal(status, 201);
    t.same(await counts(service, credentials), { users: 1, sessions: 1 });
  }
});

t.test('of many at once on two replicas all get the same account and session', async t => {
  const replicas = await startTwo(t);
  for (let round = 0; round < 5; round++) {
    const credentials = newCredentials();
    const key = randomUUID();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => signUp(replicas[i % 2] as Service, credentials, key)),
    );
    t.same(new Set(answers.map(({ status }) => status)), new Set([201]));
    t.equal(new Set(answers.map(({ body }) => body.user.id)).size, 1);
    t.equal(new Set(answers.map(({ body }) => body.refreshToken)).size, 1);
    t.same(await counts(replicas[0], credentials), { users: 1, sessions: 1 });
    const told = (await events(replicas[0], answers[0]?.body.user.id)).map(([event]) => event);
    t.same(told, ['sign_up', ...new Array(19).fill('sign_up_repeated')]);
  }
  const { rows } = await replicas[0].sql(`SELECT FROM auth.audit_events WHERE event = 'sign_up_failed'`);
  t.same(rows, [], 'none of them failed');
});

t.test('of many at once with different passwords one wins, and nobody learns more than that', async t => {
  const service = await startService(t);
  const { username } = newCredentials();
  const key = randomUUID();
  const attempts = Array.from({ length: 10 }, (_, i) => ({ username, password: `open sesame ${i % 2}` }));
  const answers = await Promise.all(attempts.map(credentials => signUp(service, credentials, key)));
  t.same(answers.map(({ status }) => status).sort(), [...new Array(5).fill(201), ...new Array(5).fill(422)]);
  t.same(await counts(service, attempts[0] as Credentials), { users: 1, sessions: 1 });
});

t.test('a key belongs to one account, and only its password proves whose it is', async t => {
  const service = await startService(t);
  const credentials = newCredentials();
  const key = randomUUID();
  const first = await signUp(service, credentials, key);
  t.equal(first.status, 201);

  const other = await signUp(service, { ...credentials, password: 'another password' }, key);
  t.equal(other.status, 422);
  t.equal(other.headers.get('content-type'), 'application/problem+json; charset=utf-8');
  t.match(other.body, { code: 'idempotency_key_reused', status: 422 });
  t.equal((await signUp(service, { ...credentials, password: 'short' }, key)).status, 422);

  for (const [name, unknown] of [
    ['no key', undefined],
    ['another key', randomUUID()],
    ['the key in capitals', key.toUpperCase()],
  ] as const) {
    const answer = await signUp(service, credentials, unknown);
    t.match(answer, { status: 409, body: { code: 'username_taken' } }, name);
  }
  const neighbour = await signUp(service, newCredentials(), key);
  t.equal(neighbour.status, 201, 'with another username it is another key');
  t.not(neighbour.body.user.id, first.body.user.id);

  t.equal((await signUp(service, credentials, key)).body.refreshToken, first.body.refreshToken);
  const { id } = first.body.user;
  t.same(await events(service, id), [
    ['sign_up', sidOf(first), null],
    ['sign_up_failed', null, { reason: 'wrong_password' }],
    ['sign_up_failed', null, { reason: 'wrong_password' }],
    ['sign_up_repeated', sidOf(first), null],
  ]);
  const { rows } = await service.sql(
    `SELECT details FROM auth.audit_events WHERE event = 'sign_up_failed' AND user_id IS NULL`,
  );
  t.same(rows, new Array(3).fill({ details: { reason: 'username_taken' } }));

  const taken = newCredentials();
  await signUp(service, taken);
  t.equal((await signUp(service, taken, key)).status, 409, 'a sign-up without a key cannot come again');
});

t.test('a session that has gone on is left alone: the password begins another', async t => {
  const service = await startService(t);
  const credentials = newCredentials();
  const key = randomUUID();
  const first = await signUp(service, credentials, key);
  const next = await post(`${service.base}/auth/refresh`, { refreshToken: first.body.refreshToken });
  const second = await signUp(service, credentials, key);
  t.equal(second.status, 201);
  t.same(second.body.user, first.body.user);
  t.not(sidOf(second), sidOf(first));
  const refreshed = await post(`${service.base}/auth/refresh`, { refreshToken: next.body.refreshToken });
  t.equal(refreshed.status, 200, 'the first one goes on');

  const ended = newCredentials();
  const gone = await signUp(service, ended, key);
  await post(`${service.base}/auth/sign-out`, {}, { authorization: `Bearer ${gone.body.token}` });
  const anew = await signUp(service, ended, key);
  t.equal(anew.status, 201);
  t.not(sidOf(anew), sidOf(gone));
  t.equal((await get(`${service.base}/auth/me`, gone.body.token)).status, 401, 'what has ended stays ended');
  t.same(
    (await events(service, gone.body.user.id)).map(([event]) => event),
    ['sign_up', 'sign_out', 'sign_in'],
  );
  await service.sql('DELETE FROM auth.sessions WHERE user_id = $1', [gone.body.user.id]);
  t.equal((await signUp(service, ended, key)).status, 201, 'also when it has been swept away');
});

t.test('an account that may not sign in may not sign up again either', async t => {
  const service = await startService(t);
  const { sql } = service;
  const key = randomUUID();
  const changes: [sql: string, reason: string][] = [
    ['UPDATE auth.users SET disabled_at = now() WHERE id = $1', 'disabled'],
    ['UPDATE auth.users SET password_hash = NULL WHERE id = $1', 'no_password'],
  ];
  for (const [change, reason] of changes) {
    const credentials = newCredentials();
    const { id } = (await signUp(service, credentials, key)).body.user;
    await sql(change, [id]);
    t.match(await signUp(service, credentials, key), { status: 422, body: { code: 'idempotency_key_reused' } });
    t.same((await events(service, id)).at(-1), ['sign_up_failed', null, { reason }]);
  }

  const credentials = newCredentials();
  const { body } = await signUp(service, credentials, key);
  const changed = await fetch(`${service.base}/auth/password`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${body.token}` },
    body: JSON.stringify({ currentPassword: credentials.password, newPassword: 'brand new 42' }),
  });
  t.equal(changed.status, 200);
  t.equal((await signUp(service, credentials, key)).status, 422, 'by the password of before');
});

t.test('a key is kept for a day, by the clock of the database, and goes with its account', async t => {
  const service = await startService(t);
  const { sql, app } = service;
  const credentials = newCredentials();
  const key = randomUUID();
  const { body } = await signUp(service, credentials, key);
  const age = (interval: string) =>
    sql('UPDATE auth.sign_up_keys SET created_at = now() - $2::interval WHERE user_id = $1', [body.user.id, interval]);
  await age('23 hours 59 minutes');
  t.equal((await signUp(service, credentials, key)).status, 201);
  t.equal(await deleteOldKeys(app.pg, 1000), 0);
  await age('24 hours');
  t.match(await signUp(service, credentials, key), { status: 409, body: { code: 'username_taken' } });
  t.equal(await deleteOldKeys(app.pg, 1000), 1);
  t.equal((await signIn(service, credentials)).status, 200, 'the account stays');

  const removed = newCredentials();
  const { user } = (await signUp(service, removed, key)).body;
  await sql('DELETE FROM auth.users WHERE id = $1', [user.id]);
  t.same((await sql('SELECT FROM auth.sign_up_keys')).rows, []);
  const anew = await signUp(service, { ...removed, password: 'another password' }, key);
  t.equal(anew.status, 201);
  t.not(anew.body.user.id, user.id);
});

t.test('a malformed key is refused, and the header is where it says', async t => {
  const service = await startService(t);
  const good = [
    'x',
    'a'.repeat(255),
    `"${'a'.repeat(255)}"`,
    `"${'\\"'.repeat(255)}"`,
    'urn:uuid:1/2=',
    '"a,b;c"',
    '!~',
  ];
  for (const key of good) t.equal((await signUp(service, newCredentials(), key)).status, 201, key);
  const bad = [
    '',
    '""',
    '"',
    '"a',
    'a"',
    'a b',
    '"a b"',
    'a, b',
    'a,b',
    '"a", "a"',
    '"a","a"',
    '"a";b=1',
    'a;b',
    '\\',
    '"\\a"',
  ];
  for (const key of [...bad, 'a'.repeat(256), `"${'a'.repeat(256)}"`, 'é', '"é"', 'a\tb']) {
    const { status, body } = await signUp(service, newCredentials(), key);
    t.equal(status, 400, key);
    t.match(body, { code: 'invalid_request', detail: /^headers\.idempotency-key/ }, key);
    t.equal(body.errors[0].pointer, '/idempotency-key', key);
  }
  const { body: openapi } = await get(`${service.base}/openapi.json`);
  const { parameters, responses } = openapi.paths['/auth/sign-up'].post;
  t.match(parameters, [{ in: 'header', name: 'idempotency-key', required: false }]);
  t.ok(responses['422']);
});

t.test('neither key nor password is kept or logged', async t => {
  const service = await startService(t, { logLevel: 'trace' });
  const canary = 'canary-4f1c';
  const credentials = { ...newCredentials(), password: `${canary}-password` };
  await signUp(service, credentials, `${canary}-key`);
  await signUp(service, credentials, `${canary}-key`);
  const answer = await signUp(service, { ...credentials, password: `${canary}-wrong` }, `${canary}-key`);
  t.equal(answer.status, 422);
  await signUp(service, credentials, `${canary} malformed`);
  t.match(service.logs.join(''), /sign_up_repeated/);
  t.notMatch(service.logs.join(''), canary);
  t.notMatch(answer.text, canary);
  for (const table of ['users', 'sessions', 'sign_up_keys', 'audit_events']) {
    const { rows } = await service.sql(`SELECT to_jsonb(r) AS row FROM auth.${table} r`);
    t.ok(rows.length > 0, table);
    const text = JSON.stringify(rows);
    t.notMatch(text, canary, table);
    t.notMatch(text, Buffer.from(canary).toString('hex'), table);
  }
});

const from = (address: string) => ({ 'x-forwarded-for': address });
const startThrottled = (t: Test, throttle: Partial<Config['throttle']>) =>
  startService(t, { trustProxy: ['127.0.0.1'], throttle: { ...loadSettings({}).throttle, ...throttle } });

t.test('guessing by a known key is throttled like guessing by sign-in, and together with it', async t => {
  const service = await startThrottled(t, { signUp: { quota: 100, windowS: 3600 } });
  const owner = newCredentials();
  const key = randomUUID();
  const [home, attacker] = ['198.51.100.1', '198.51.100.2'];
  t.equal((await signUp(service, owner, key, from(home))).status, 201);
  const guess = { ...owner, password: 'wrong password' };

  const first = await signUp(service, guess, key, from(attacker));
  t.equal(first.status, 422);
  t.equal(first.headers.get('ratelimit'), '"pair";r=9;t=900');
  t.equal((await signIn(service, guess, from(attacker))).headers.get('ratelimit'), '"pair";r=8;t=900');
  const flood = await Promise.all(Array.from({ length: 30 }, () => signUp(service, guess, key, from(attacker))));
  const guessed = flood.filter(({ status }) => status === 422).length;
  t.ok(guessed > 0 && guessed <= 8, `${guessed} guesses`);
  for (let i = guessed; i < 8; i++) await signUp(service, guess, key, from(attacker));

  const refused = await signUp(service, owner, key, from(attacker));
  t.equal(refused.status, 429, 'also with the right password');
  t.ok(Number(refused.headers.get('retry-after')) > 890);
  t.equal((await signIn(service, owner, from(attacker))).status, 429);
  t.equal((await signUp(service, owner, key, from(home))).status, 201, 'the owner is not concerned');

  for (let i = 3; i < 13; i++) await signUp(service, guess, key, from(`198.51.100.${i}`));
  t.equal((await signUp(service, guess, key, from('198.51.100.99'))).status, 429, 'nor do more addresses help');
  t.equal((await signUp(service, owner, key, from(home))).status, 201);
});

t.test('coming again costs no sign-up, and is possible after the last of them', async t => {
  const service = await startThrottled(t, { signUp: { quota: 2, windowS: 3600 } });
  const address = from('198.51.100.1');
  const [one, two] = [newCredentials(), newCredentials()];
  const key = randomUUID();
  t.equal((await signUp(service, one, key, address)).status, 201);
  for (let i = 0; i < 5; i++) t.equal((await signUp(service, one, key, address)).status, 201);
  t.equal((await signUp(service, two, key, address)).status, 201);
  t.equal((await signUp(service, newCredentials(), key, address)).status, 429);
  const again = await signUp(service, two, key, address);
  t.equal(again.status, 201);
  t.equal(again.headers.get('ratelimit'), '"pair";r=10');
});

t.test('those who come at once cost one sign-up together', async t => {
  const service = await startThrottled(t, { signUp: { quota: 5, windowS: 3600 } });
  const address = from('198.51.100.1');
  const credentials = newCredentials();
  const key = randomUUID();
  const answers = await Promise.all(Array.from({ length: 5 }, () => signUp(service, credentials, key, address)));
  t.same(
    answers.map(({ status }) => status),
    new Array(5).fill(201),
  );
  const { rows } = await service.sql(`SELECT failures, leases FROM auth.throttle_counters WHERE key LIKE 'sign-up:%'`);
  t.same(rows, [{ failures: 1, leases: [] }]);
});
