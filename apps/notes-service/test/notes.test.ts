import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthClient } from '@latchkey/auth-client';
import { authGuard } from '@latchkey/auth-client/fastify';
import { createTestIssuer } from '@latchkey/auth-client/testing';
import { createService } from '@latchkey/service-kit/http';
import pg from 'pg';
import t from 'tap';
import { buildApp } from '#src/app.js';
import { loadSettings } from '#src/config.js';
import { prepare } from '#src/development.js';
import { migrator } from '#src/migrator.js';
import { call, createDatabase, startSystem } from './helper.js';

t.test('people keep notes of their own', async t => {
  const { notesUrl, signUp } = await startSystem(t);
  const [ada, bob] = [await signUp(), await signUp()];

  const made = await call(`${notesUrl}/notes`, ada.token, { method: 'POST', body: { text: 'Buy milk' } });
  t.equal(made.status, 201);
  t.match(made.body, { id: String, text: 'Buy milk', createdAt: /Z$/ });
  t.same((await call(`${notesUrl}/notes`, ada.token)).body, { notes: [made.body] });
  t.same((await call(`${notesUrl}/notes`, bob.token)).body, { notes: [] });

  const remove = (token: string, id: string) => call(`${notesUrl}/notes/${id}`, token, { method: 'DELETE' });
  const stolen = await remove(bob.token, made.body.id);
  t.equal(stolen.status, 404);
  t.equal(stolen.body.code, 'not_found');
  t.equal((await remove(ada.token, made.body.id)).status, 204);
  t.equal((await remove(ada.token, made.body.id)).status, 404);
  t.equal((await remove(ada.token, randomUUID())).status, 404);
});

t.test('notes come newest first, a page at a time', async t => {
  const { notesUrl, signUp } = await startSystem(t);
  const { token } = await signUp();
  for (let i = 0; i < 53; i++) await call(`${notesUrl}/notes`, token, { method: 'POST', body: { text: `note ${i}` } });
  const first = (await call(`${notesUrl}/notes`, token)).body.notes;
  t.equal(first.length, 50);
  t.equal(first[0].text, 'note 52');
  const second = (await call(`${notesUrl}/notes?before=${first.at(-1).id}`, token)).body.notes;
  t.same(
    second.map((note: { text: string }) => note.text),
    ['note 2', 'note 1', 'note 0'],
  );
});

t.test('replicas that start at once migrate once, whatever lock somebody has left behind', async t => {
  const databaseUrl = await createDatabase();
  const other = new pg.Client(databaseUrl);
  await other.connect();
  t.teardown(() => other.end());
  // The one that node-pg-migrate takes by itself, for a session: PgBouncer keeps the session.
  await other.query('SELECT pg_advisory_lock(7241865325823964)');
  await Promise.all(Array.from({ length: 5 }, () => migrator.migrate(databaseUrl)));
  const { rows } = await other.query(
    'SELECT count(*)::int AS count, count(DISTINCT name)::int AS names FROM notes.migrations',
  );
  t.same(rows, [{ count: 1, names: 1 }]);
  const locks = await other.query("SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()");
  t.equal(locks.rowCount, 0);
});

t.test('a role that owns the schema and may make no other one migrates it', async t => {
  const databaseUrl = await createDatabase();
  const admin = new pg.Client(databaseUrl);
  await admin.connect();
  t.teardown(() => admin.end());
  const role = `notes_${randomUUID().slice(0, 8)}`;
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'; CREATE SCHEMA notes AUTHORIZATION ${role}`);
  const url = Object.assign(new URL(databaseUrl), { username: role, password: 'x' });
  await migrator.migrate(url.href);
  const { rows } = await admin.query(`SELECT tableowner AS owner FROM pg_tables WHERE tablename = 'notes'`);
  t.same(rows, [{ owner: role }]);
});

t.test('the guard checks offline, the profile asks auth-service', async t => {
  const { authUrl, notesUrl, signUp, auth, sql } = await startSystem(t);
  const { token, user } = await signUp();
  t.same((await call(`${notesUrl}/notes/profile`, token)).body, { user, noteCount: 0 });

  const disabled = await signUp();
  await sql('UPDATE auth.users SET disabled_at = now() WHERE id = $1', [disabled.user.id]);
  const refused = await call(`${notesUrl}/notes/profile`, disabled.token);
  t.equal(refused.status, 401);
  t.equal(refused.body.code, 'invalid_token');

  auth.kill('SIGKILL');
  t.equal((await call(`${notesUrl}/notes`, token)).status, 200, 'the cached keys go on working');
  const profile = await call(`${notesUrl}/notes/profile`, token);
  t.equal(profile.status, 503);
  t.equal(profile.body.code, 'service_unavailable');
  t.ok(profile.headers.get('retry-after'));
  await t.rejects(createAuthClient({ baseUrl: authUrl, timeoutMs: 500 }).me(token), { code: 'network_error' });
});

t.test('the profile passes on what auth-service demands of the sign-in', async t => {
  const { notesUrl, signUp } = await startSystem(t, { SECOND_FACTOR: 'required' });
  const { token } = await signUp();
  const { status, headers, body } = await call(`${notesUrl}/notes/profile`, token);
  t.match({ status, body }, { status: 401, body: { code: 'insufficient_user_authentication' } });
  t.equal(headers.get('www-authenticate'), 'Bearer error="insufficient_user_authentication", acr_values="aal2"');
});

t.test('bad input is refused', async t => {
  const { notesUrl, signUp } = await startSystem(t);
  const { token } = await signUp();
  const bodies = [
    {},
    { text: 1 },
    { text: '' },
    { text: 'x\0' },
    { text: '\ud800' },
    { text: 'x'.repeat(4001) },
    { text: 'x', y: 1 },
  ];
  for (const body of bodies) {
    const answer = await call(`${notesUrl}/notes`, token, { method: 'POST', body });
    t.equal(answer.status, 400);
    t.equal(answer.body.code, 'invalid_request');
  }
  const large = await call(`${notesUrl}/notes`, token, { method: 'POST', body: { text: 'x'.repeat(17_000) } });
  t.equal(large.body.code, 'payload_too_large');
  for (const path of ['/notes?before=x', '/notes?limit=5']) t.equal((await call(notesUrl + path, token)).status, 400);
  t.equal((await call(`${notesUrl}/notes/x`, token, { method: 'DELETE' })).status, 400);
  t.equal((await call(`${notesUrl}/nothing`, token)).body.code, 'not_found');
  t.equal((await call(`${notesUrl}/notes`)).body.code, 'missing_token');
  t.equal((await call(`${notesUrl}/readyz`)).status, 200);

  const unknown = Object.fromEntries(Array.from({ length: 2050 }, (_, i) => [i.toString(36), 0]));
  for (const body of [unknown, { ['~'.repeat(16_300)]: 0 }]) {
    const answer = await call(`${notesUrl}/notes`, token, { method: 'POST', body });
    t.match(answer, { status: 400, body: { code: 'invalid_request', errors: Array } });
    t.ok(answer.body.errors.length <= 10 && answer.text.length < 4096, 'however much is wrong, the answer is short');
  }

  const post = (body: string | Uint8Array<ArrayBuffer>, type = 'application/json') =>
    fetch(`${notesUrl}/notes`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': type },
      body,
    });
  for (const body of ['{"text":"a","text":"b"}', '{"text":"a","__proto__":{}}', Uint8Array.of(0x22, 0xff, 0x22), '']) {
    const answer = await post(body);
    t.equal(answer.status, 400);
    t.match(await answer.json(), { code: 'invalid_json' });
  }
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx']) {
    const answer = await post('{"text":"a"}', type);
    t.equal(answer.status, 415, type);
    t.match(await answer.json(), { code: 'unsupported_media_type' });
  }
  for (const method of ['QUERY', 'PROPFIND', 'PUT']) {
    const answer = await call(`${notesUrl}/notes`, token, { method });
    t.match(answer, { status: 405, body: { code: 'method_not_allowed' } }, method);
    t.equal(answer.headers.get('allow'), 'GET, HEAD, POST');
    t.match(await call(`${notesUrl}/nothing`, token, { method }), { status: 404, body: { code: 'not_found' } }, method);
  }
  for (const path of ['/%', `/notes/${'x'.repeat(500)}`]) {
    const answer = await call(notesUrl + path, token, { method: 'DELETE' });
    t.match(answer, { status: 400, body: { code: 'invalid_request' } }, 'refused before routing');
    t.equal(answer.headers.get('content-type'), 'application/problem+json; charset=utf-8');
    t.equal(answer.headers.get('x-request-id'), answer.body.requestId);
  }
});

t.test('the typed client and the real service understand each other', async t => {
  const { authUrl, signUp } = await startSystem(t);
  const client = createAuthClient({ baseUrl: authUrl });
  const { user, token } = await signUp();
  const credentials = { username: user.username, password: 'open sesame 42' };
  t.match(await client.signIn(credentials), { user, expiresIn: 600, tokenType: 'Bearer' });
  t.same(await client.me(token), user);
  await t.rejects(client.signUp(credentials), { code: 'username_taken', problem: { status: 409 } });
  await t.rejects(client.signIn({ ...credentials, password: 'wrong' }), { code: 'invalid_credentials' });
  await t.rejects(client.signUp({ username: 'x', password: 'short' }), { code: 'invalid_request' });
  const short = client.signUp({ username: 'somebody-else', password: 'short' });
  await t.rejects(short, { code: 'password_rejected', problem: { errors: [{ reason: 'too_short' }] } });
  await t.rejects(client.me('a.b.c'), { code: 'invalid_token' });

  const refreshed = await client.refresh((await client.signIn(credentials)).refreshToken);
  t.same(refreshed.user, user);
  await t.rejects(client.refresh('nonsense'), { code: 'invalid_refresh_token' });
  const sessions = await client.sessions(refreshed.token);
  t.equal(sessions.filter(session => session.current).length, 1);
  const other = sessions.find(session => !session.current)?.id as string;
  await client.endSession(refreshed.token, other);
  await t.rejects(client.endSession(refreshed.token, other), { code: 'not_found' });
  const change = { currentPassword: credentials.password, newPassword: 'brand new 42' };
  const changed = await client.changePassword(refreshed.token, change);
  t.equal((await client.sessions(changed.token)).length, 1);
  await client.signOut(changed.token);
  await t.rejects(client.me(changed.token), { code: 'invalid_token' });
});

t.test('in production every setting must be there, and none may be odd', async t => {
  const env = {
    ...{ NODE_ENV: 'production', DATABASE_URL: 'postgresql://db/notes', AUTH_URL: 'http://auth:3000' },
    ...{ AUTH_ISSUER: 'https://auth.example.com', AUTH_CLIENT_ID: 'notes', AUTH_CLIENT_SECRET: 'canary' },
  };
  t.match(loadSettings(env), { authClientId: 'notes', authMaxStalenessS: 60, authOnStale: 'open' });
  for (const name of ['DATABASE_URL', 'AUTH_URL', 'AUTH_ISSUER', 'AUTH_CLIENT_ID', 'AUTH_CLIENT_SECRET']) {
    t.throws(() => loadSettings({ ...env, [name]: '' }), { message: new RegExp(`${name} is required in production`) });
  }
  for (const [name, value] of Object.entries({ AUTH_ON_STALE: 'ajar', AUTH_MAX_STALENESS_S: '0' })) {
    t.throws(() => loadSettings({ ...env, [name]: value }), { message: new RegExp(`${name}: `) });
  }
  const { config } = await prepare(loadSettings(env));
  t.match(config, { authClient: { id: 'notes', secret: 'canary' } });
});

t.test('with the embedded database the client has a secret that is kept', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-test-'));
  t.teardown(() => {
    rmSync(realpathSync(join(folder, 'postgres')), { recursive: true, force: true });
    rmSync(folder, { recursive: true, force: true });
  });
  const settings = loadSettings({ DATA_DIR: folder });
  const [first, second] = [await prepare(settings), await prepare(settings)];
  await Promise.all([first.release(), second.release()]);
  t.match(first.config.authClient, { id: 'notes-service', secret: /^[\w-]{43}$/ });
  t.same(second.config.authClient, first.config.authClient);
});

t.test('connections that are reset, and clients that read nothing, are no errors and leave nothing behind', async t => {
  const lines: string[] = [];
  const app = await buildApp(
    {
      ...{ production: false, host: '127.0.0.1', port: 0, shutdownDelayMs: 0, dataDir: '', logLevel: 'info' },
      ...{ databaseUrl: await createDatabase(), authUrl: 'http://127.0.0.1:1', authIssuer: 'http://127.0.0.1:1' },
      ...{ tokenAudience: 'latchkey', authMaxStalenessS: 60, authOnStale: 'open' },
    },
    { write: line => void lines.push(line) },
  );
  t.teardown(() => app.close());
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const write = (text: string) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => undefined);
    return new Promise<Socket>(resolve => socket.once('connect', () => socket.write(text, () => resolve(socket))));
  };
  const requests = ['/notes', '/livez', '/nowhere', '/%zz'].map(path => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  requests.push(`POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{`);
  for (let i = 0; i < 1000; i++) {
    const reset = write(requests[i % requests.length] as string).then(socket => socket.resetAndDestroy());
    if (i % 50 === 0) await reset;
  }
  const flood = await write((requests[2] as string).repeat(2000));
  flood.resume();
  await once(flood, 'close');
  const count = () => new Promise(resolve => app.server.getConnections((_error, count) => resolve(count)));
  for (let i = 0; (await count()) !== 0; i++) {
    if (i > 500) throw new Error('connections are left');
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  t.notMatch(lines.join(''), /"level":[56]0/);

  // As Node tells it of a connection that was reset.
  app.server.on('connection', socket => Object.defineProperty(socket, 'remoteAddress', { value: undefined }));
  t.equal((await call(`${url}/notes`)).status, 401);
  t.match(lines.join(''), /"path":"\/notes","remoteAddress":"unknown"/);
});

t.test('with a database of its own it takes the client that it is given', async t => {
  const env = { DATA_DIR: t.testdir(), DATABASE_URL: 'postgresql://db/notes' };
  for (const NODE_ENV of ['', 'development', 'test']) {
    t.throws(() => loadSettings({ ...env, NODE_ENV }), {
      message: /AUTH_CLIENT_SECRET is required with a DATABASE_URL.*latchkey clients create notes-service/,
    });
  }
  const { config } = await prepare(loadSettings({ ...env, AUTH_CLIENT_SECRET: 'canary' }));
  t.match(config, { databaseUrl: env.DATABASE_URL, authClient: { id: 'notes-service', secret: 'canary' } });
  t.same(readdirSync(env.DATA_DIR), []);
  const unencoded = { ...env, AUTH_CLIENT_SECRET: 'x', DATABASE_URL: 'postgresql://notes:can/ary@db/notes' };
  t.throws(() => loadSettings(unencoded), { message: /DATABASE_URL is not a URL.*PGPASSWORD/ });
});

t.test(
  'a service on the kit responds to a sign-in that is too weak with a problem, and says what it needs',
  async t => {
    const { issuer, audience, fetch, ...auth } = createTestIssuer();
    t.teardown(() => auth.close());
    const app = await createService({ logLevel: 'silent' }, async app => {
      await app.register(authGuard, { issuer, audience, fetch });
      app.get('/secrets', { onRequest: app.authenticate({ acr: 'aal2', maxAgeS: 600 }) }, async () => ({
        secrets: [],
      }));
    });
    t.teardown(() => app.close());
    const ask = (token: string) => app.inject({ url: '/secrets', headers: { authorization: `Bearer ${token}` } });
    const refused = await ask(auth.signIn('ada').token);
    t.match(refused.json(), { type: /problem/, status: 401, code: 'insufficient_user_authentication' });
    t.equal(refused.headers['content-type'], 'application/problem+json; charset=utf-8');
    const challenge = 'Bearer error="insufficient_user_authentication", acr_values="aal2", max_age=600';
    t.equal(refused.headers['www-authenticate'], challenge);
    t.equal((await ask(auth.signIn('ada', { amr: ['pwd', 'otp', 'mfa'] }).token)).statusCode, 200);
  },
);
