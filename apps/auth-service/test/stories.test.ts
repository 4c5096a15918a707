import { createPublicKey, verify } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import t from 'tap';
import { createEmptyDatabase, get, newCredentials, post, segment, startService } from './helper.js';

t.test('somebody signs up, signs in, and is known', async t => {
  const { base } = await startService(t);
  const credentials = newCredentials();

  const signedUp = await post(`${base}/auth/sign-up`, credentials);
  t.equal(signedUp.status, 201);
  t.equal(signedUp.headers.get('cache-control'), 'no-store');
  t.match(signedUp.body, { tokenType: 'Bearer', expiresIn: 600, user: { username: credentials.username } });
  t.match(signedUp.body.user.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/, 'ids are UUIDv7');
  t.match(signedUp.body.user.createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

  const signedIn = await post(`${base}/auth/sign-in`, credentials);
  t.equal(signedIn.status, 200);
  t.equal(signedIn.headers.get('cache-control'), 'no-store');
  t.same(signedIn.body.user, signedUp.body.user);
  t.not(signedIn.body.token, signedUp.body.token);

  const me = await get(`${base}/auth/me`, signedIn.body.token);
  t.equal(me.status, 200);
  t.same(me.body, signedUp.body.user);

  const verified = await get(`${base}/auth/verify`, signedIn.body.token);
  t.equal(verified.status, 200);
  t.equal(verified.text, '');
  t.equal(verified.headers.get('x-auth-user-id'), me.body.id);
  t.equal(verified.headers.get('x-auth-username'), credentials.username);
});

t.test('the token is one that other services can check', async t => {
  const { base, config } = await startService(t);
  const { username, password } = newCredentials();
  const { body } = await post(`${base}/auth/sign-up`, { username, password });
  const jwks = await get(`${base}/.well-known/jwks.json`);
  t.match(jwks.headers.get('cache-control'), /max-age=\d+/);
  t.equal(jwks.body.keys.length, 1);
  t.notOk('d' in jwks.body.keys[0], 'no private half');

  const header = segment(body.token, 0);
  t.same(header, { alg: 'ES256', typ: 'at+jwt', kid: jwks.body.keys[0].kid });
  const claims = segment(body.token, 1);
  t.match(claims, { iss: config.publicUrl, aud: 'latchkey', sub: body.user.id, id: body.user.id, username });
  t.equal(claims.exp - claims.iat, 600);
  t.ok(claims.jti && claims.client_id);

  const [head, payload, signature] = body.token.split('.');
  const key = createPublicKey({ key: jwks.body.keys[0], format: 'jwk' });
  const signed = Buffer.from(signature, 'base64url');
  t.ok(verify('sha256', Buffer.from(`${head}.${payload}`), { key, dsaEncoding: 'ieee-p1363' }, signed));
});

t.test('wrong password, unknown, disabled and passwordless users are answered alike', async t => {
  const { base, sql } = await startService(t);
  const [known, disabled, passwordless] = [newCredentials(), newCredentials(), newCredentials()];
  for (const credentials of [known, disabled, passwordless]) await post(`${base}/auth/sign-up`, credentials);
  await sql('UPDATE auth.users SET disabled_at = now() WHERE username = $1', [disabled.username]);
  await sql('UPDATE auth.users SET password_hash = NULL WHERE username = $1', [passwordless.username]);

  for (const credentials of [{ ...known, password: 'wrong' }, newCredentials(), disabled, passwordless]) {
    const { status, headers, body } = await post(`${base}/auth/sign-in`, credentials);
    t.equal(status, 401);
    t.equal(headers.get('www-authenticate'), 'Bearer');
    t.equal(headers.get('content-type'), 'application/problem+json; charset=utf-8');
    t.match(body, { code: 'invalid_credentials', status: 401, detail: 'Invalid credentials.' });
    t.same(Object.keys(body).sort(), ['code', 'detail', 'requestId', 'status', 'title', 'type']);
  }
});

t.test('a username is kept as typed, and taken in every case', async t => {
  const { base } = await startService(t);
  const { password } = newCredentials();
  const signedUp = await post(`${base}/auth/sign-up`, { username: 'Ada.Lovelace+1@Example.com', password });
  t.equal(signedUp.body.user.username, 'Ada.Lovelace+1@Example.com');
  const again = await post(`${base}/auth/sign-up`, { username: 'ada.lovelace+1@example.COM', password });
  t.equal(again.status, 409);
  t.equal(again.body.code, 'username_taken');
  const signedIn = await post(`${base}/auth/sign-in`, { username: 'ADA.LOVELACE+1@EXAMPLE.COM', password });
  t.equal(signedIn.status, 200);
  t.equal(signedIn.body.user.username, 'Ada.Lovelace+1@Example.com');
});

t.test('of 100 sign-ups at once for one name, in any case, one wins', async t => {
  const { base, sql } = await startService(t);
  const { username, password } = newCredentials();
  const names = Array.from({ length: 100 }, (_, i) => (i % 2 ? username.toUpperCase() : username));
  const answers = await Promise.all(names.map(name => post(`${base}/auth/sign-up`, { username: name, password })));
  const count = (status: number) => answers.filter(answer => answer.status === status).length;
  t.equal(count(201), 1);
  t.equal(count(409), 99);
  const { rows } = await sql('SELECT 1 FROM auth.users WHERE lower(username) = $1', [username.toLowerCase()]);
  t.equal(rows.length, 1);
});

t.test('replicas of the version before sign up beside new ones, and operators use SQL', async t => {
  const { base, sql } = await startService(t);
  const before = (username: string) =>
    sql(
      `INSERT INTO auth.users (id, username, password_hash) VALUES (gen_random_uuid(), $1, 'old')
       ON CONFLICT (lower(username COLLATE "C")) DO NOTHING RETURNING id`,
      [username],
    );
  const signUp = (username: string) => post(`${base}/auth/sign-up`, { ...newCredentials(), username });
  const statusOf = async (username: string) => (await signUp(username)).status;

  for (let round = 0; round < 10; round++) {
    const { username } = newCredentials();
    const race = Array.from({ length: 8 }, async (_, i) => {
      if (i % 2) return (await before(username.toUpperCase())).rowCount;
      const status = await statusOf(username);
      t.ok(status === 201 || status === 409, `${status}`);
      return Number(status === 201);
    });
    const won = (await Promise.all(race)).reduce((sum: number, count) => sum + Number(count), 0);
    t.equal(won, 1);
  }

  const [first, second] = [newCredentials(), newCredentials()];
  await before(first.username);
  t.equal(await statusOf(first.username.toUpperCase()), 409);
  await sql('UPDATE auth.users SET username = $2 WHERE username = $1', [first.username, second.username]);
  t.equal(await statusOf(second.username), 409);
  t.equal(await statusOf(first.username), 201);
  await sql('DELETE FROM auth.users WHERE username = $1', [second.username]);
  t.equal(await statusOf(second.username), 201);
  const { rows } = await sql(
    `SELECT i.name FROM auth.identifiers i FULL JOIN auth.users u ON u.id = i.user_id
     WHERE i.name IS DISTINCT FROM lower(u.username)`,
  );
  t.same(rows, []);
});

t.test('the accounts from before have their names after the migration', async t => {
  const { base, sql } = await startService(t);
  const credentials = newCredentials();
  await post(`${base}/auth/sign-up`, { ...credentials, username: credentials.username.toUpperCase() });
  await sql('DELETE FROM auth.identifiers');
  t.equal((await post(`${base}/auth/sign-in`, credentials)).status, 401);
  const migration = await readFile(new URL('../migrations/016_identifiers.sql', import.meta.url), 'utf8');
  await sql(/^INSERT INTO auth\.identifiers [^;]+FROM auth.users/m.exec(migration)?.[0] as string);
  t.equal((await post(`${base}/auth/sign-in`, credentials)).status, 200);
});

t.test('a new password is judged by length and by what everybody would guess', async t => {
  const { base } = await startService(t);
  const { username } = newCredentials();
  const cases: [password: string, reason: string][] = [
    ['', 'too_short'],
    ['1234567', 'too_short'],
    ['😀😀😀😀', 'too_short'],
    ['x'.repeat(257), 'too_long'],
    ['Password123', 'common'],
    [`my ${username.toUpperCase()} is secret`, 'contains_username'],
  ];
  for (const [password, reason] of cases) {
    const { status, body } = await post(`${base}/auth/sign-up`, { username, password });
    t.equal(status, 400, reason);
    t.match(body, { code: 'password_rejected', errors: [{ pointer: '/password', reason }] });
  }
  for (const password of ['😀'.repeat(8), 'é'.repeat(256), 'nul \0 inside', ' leading and trailing ']) {
    const credentials = { ...newCredentials(), password };
    t.equal((await post(`${base}/auth/sign-up`, credentials)).status, 201);
    t.equal((await post(`${base}/auth/sign-in`, credentials)).status, 200);
    const other = { ...credentials, password: [...password].slice(1).join('') };
    t.equal((await post(`${base}/auth/sign-in`, other)).status, 401);
  }
});

t.test('passwords that differ only behind the 72nd byte, or behind a NUL, are different', async t => {
  const { base } = await startService(t);
  const long = { ...newCredentials(), password: `${'a'.repeat(72)}one` };
  const nul = { ...newCredentials(), password: 'before\0after' };
  for (const credentials of [long, nul]) await post(`${base}/auth/sign-up`, credentials);
  t.equal((await post(`${base}/auth/sign-in`, { ...long, password: `${'a'.repeat(72)}two` })).status, 401);
  t.equal((await post(`${base}/auth/sign-in`, { ...nul, password: 'before\0other' })).status, 401);
});

t.test('replicas and restarts share the signing key', async t => {
  const databaseUrl = await createEmptyDatabase();
  const authSecrets: [{ id: string; key: Buffer }] = [{ id: 'one', key: Buffer.alloc(32, 1) }];
  const replicas = await Promise.all([1, 2, 3, 4, 5].map(() => startService(t, { databaseUrl, authSecrets })));
  const [first, second] = replicas as [(typeof replicas)[0], (typeof replicas)[0]];
  const { body } = await post(`${first.base}/auth/sign-up`, newCredentials());
  for (const { base } of replicas) t.equal((await get(`${base}/auth/me`, body.token)).status, 200);
  const { rows } = await first.sql('SELECT name FROM auth.migrations ORDER BY name');
  t.same(
    rows.map(row => row.name),
    readdirSync(new URL('../migrations', import.meta.url)).map(file => file.replace('.sql', '')),
    'every migration is applied once',
  );
  await second.app.close();
  const restarted = await startService(t, { databaseUrl, authSecrets });
  t.equal((await get(`${restarted.base}/auth/verify`, body.token)).status, 200);
});

t.test('the signing key is of no use without the secret', async t => {
  const { config, sql } = await startService(t);
  const { rows } = await sql('SELECT public_jwk, sealed_private_key FROM auth.signing_keys');
  t.notOk('d' in rows[0].public_jwk);
  t.notOk(rows[0].sealed_private_key.includes(Buffer.from(rows[0].public_jwk.x, 'base64url')), 'it is sealed');

  const other = { databaseUrl: config.databaseUrl, authSecrets: [{ id: 'two', key: Buffer.alloc(32, 2) }] as never };
  await t.rejects(startService(t, other), /sealed by the secret "one", which is not in AUTH_SECRETS/);
  const changed = { databaseUrl: config.databaseUrl, authSecrets: [{ id: 'one', key: Buffer.alloc(32, 3) }] as never };
  await t.rejects(startService(t, changed), /does not open the signing key .*: its value has changed/);
});

t.test('a removed account is not known any more', async t => {
  const { base, sql } = await startService(t);
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  await sql('DELETE FROM auth.users WHERE id = $1', [body.user.id]);
  const me = await get(`${base}/auth/me`, body.token);
  t.equal(me.status, 401);
  t.equal(me.body.code, 'invalid_token');
});

t.test('operations: health, documentation, what is not there', async t => {
  const { base } = await startService(t);
  t.same((await get(`${base}/livez`)).body, { status: 'ok' });
  t.same((await get(`${base}/readyz`)).body, { status: 'ok' });
  const { body: openapi } = await get(`${base}/openapi.json`);
  t.equal(openapi.openapi, '3.1.0');
  for (const path of [
    '/auth/sign-up',
    '/auth/sign-in',
    '/auth/me',
    '/auth/verify',
    '/.well-known/jwks.json',
    '/readyz',
  ]) {
    t.ok(openapi.paths[path], path);
  }
  t.ok(openapi.paths['/auth/sign-in'].post.responses['401'].content['application/problem+json']);
  t.equal(openapi.paths['/auth/sign-in'].post.requestBody.required, true);
  t.match(openapi.paths['/auth/sign-out'].post, { requestBody: { required: false } });
  t.match(await get(`${base}/docs/`), { status: 200, text: /swagger-ui/ });
  const { text: script } = await get(`${base}/docs/static/swagger-initializer.js`);
  const [, logo = ''] = /img\.src = 'data:image\/svg\+xml;base64,(.*)'/.exec(script) ?? [];
  t.match(Buffer.from(logo, 'base64').toString(), /^<svg .*<\/svg>$/s, 'no broken image');
  t.match((await get(`${base}/nothing`)).body, { status: 404, code: 'not_found' });
  const wrongMethod = await get(`${base}/auth/sign-in`);
  t.equal(wrongMethod.status, 405);
  t.equal(wrongMethod.headers.get('allow'), 'POST');
});
