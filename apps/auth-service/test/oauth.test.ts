import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import t from 'tap';
import { hashClientSecret } from '#src/clients/secret.js';
import { insertClient, replaceClientSecret, setClientDisabled } from '#src/clients/stored-clients.js';
import { newClientSecret } from '#src/config/secrets.js';
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

const origin = { requestId: null, address: null, userAgent: 'test', actor: null };

/** Makes a client of the service, and the calls of one that has its credentials. */
async function newClient(service: Service, scopes = ['revocations:read', 'notes:read']) {
  const id = `client-${Math.random().toString(36).slice(2)}`;
  const secret = newClientSecret();
  await insertClient(service.app.pg, { id, secretHash: hashClientSecret(secret), scopes }, origin);
  const basic = (secret_: string) => `Basic ${Buffer.from(`${id}:${secret_}`).toString('base64')}`;
  const ask = (path: string, form: Record<string, string>, authorization = basic(secret)) =>
    formPost(`${service.base}/oauth/${path}`, form, { authorization });
  const grant = (form: Record<string, string> = {}) => ask('token', { grant_type: 'client_credentials', ...form });
  return { id, secret, basic, ask, grant };
}

const formPost = (url: string, form: Record<string, string> | string, headers: Record<string, string> = {}) =>
  call(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams(form).toString(),
  });

t.test('a service gets a token by its credentials', async t => {
  const service = await startService(t);
  const { id, secret, grant } = await newClient(service);
  const { status, headers, body } = await grant();
  t.equal(status, 200);
  t.equal(headers.get('cache-control'), 'no-store');
  t.equal(headers.get('pragma'), 'no-cache');
  t.match(body, { token_type: 'Bearer', expires_in: 600, scope: 'revocations:read notes:read' });
  const claims = segment(body.access_token, 1);
  t.match(claims, { iss: service.config.publicUrl, aud: 'latchkey', sub: id, client_id: id, scope: body.scope });
  t.notOk('sid' in claims || 'username' in claims);
  t.equal(segment(body.access_token, 0).typ, 'at+jwt');
  t.equal((await grant({ scope: 'notes:read notes:read' })).body.scope, 'notes:read', 'it may ask for less');
  t.equal((await grant({ scope: '' })).body.scope, body.scope, 'an empty parameter counts as left out');
  t.equal((await grant({ client_id: id, client_secret: '' })).status, 200);

  const form = { grant_type: 'client_credentials', client_id: id, client_secret: secret };
  t.equal((await formPost(`${service.base}/oauth/token`, form)).status, 200, 'or by the form');
  t.equal((await formPost(`${service.base}/oauth/token`, { ...form, unknown: 'x' })).status, 200, 'RFC 6749 §3.2');
});

t.test('a service’s token is not a user’s, nor the other way round', async t => {
  const service = await startService(t);
  const { grant } = await newClient(service);
  const { access_token } = (await grant()).body;
  for (const path of ['/auth/me', '/auth/verify', '/auth/sessions']) {
    t.match(await get(service.base + path, access_token), { status: 401, body: { code: 'invalid_token' } }, path);
  }
  const user = (await post(`${service.base}/auth/sign-up`, newCredentials())).body;
  const feed = `${service.base}/auth/revocations`;
  const refused = await get(feed, user.token);
  t.match(refused, { status: 403, body: { code: 'insufficient_scope' } });
  t.equal(refused.headers.get('www-authenticate'), 'Bearer error="insufficient_scope", scope="revocations:read"');
  const narrow = (await grant({ scope: 'notes:read' })).body.access_token;
  t.equal((await get(feed, narrow)).status, 403);
  t.match(await get(feed), { status: 401, body: { code: 'missing_token' } });
  t.equal((await get(feed, access_token)).status, 200);
});

t.test('errors are RFC 6749’s, and problems too', async t => {
  const service = await startService(t);
  const { id, secret, basic, ask, grant } = await newClient(service);
  const stranger = await newClient(service);
  const url = `${service.base}/oauth/token`;
  const valid = { grant_type: 'client_credentials' };
  const cases: [name: string, answer: ReturnType<typeof call>, status: number, error: string][] = [
    ['a wrong secret', ask('token', valid, basic('wrong')), 401, 'invalid_client'],
    ['somebody else’s secret', ask('token', valid, basic(stranger.secret)), 401, 'invalid_client'],
    ['no client', formPost(url, valid), 401, 'invalid_client'],
    [
      'an unknown client',
      formPost(url, { ...valid, client_id: 'nobody', client_secret: secret }),
      401,
      'invalid_client',
    ],
    ['U+0000 in the id', formPost(url, { ...valid, client_id: 'a\0', client_secret: 'x' }), 401, 'invalid_client'],
    ['broken Basic', ask('token', valid, 'Basic %%%'), 401, 'invalid_client'],
    [
      'Basic that is not encoded',
      ask('token', valid, `Basic ${Buffer.from('a:%zz').toString('base64')}`),
      401,
      'invalid_client',
    ],
    ['another scheme', ask('token', valid, 'Bearer x'), 401, 'invalid_client'],
    ['another client in the form', ask('token', { ...valid, client_id: 'other' }), 400, 'invalid_request'],
    ['both ways', ask('token', { ...valid, client_id: id, client_secret: secret }), 400, 'invalid_request'],
    ['another grant', ask('token', { grant_type: 'password' }), 400, 'unsupported_grant_type'],
    ['no grant', ask('token', { scope: 'x' }), 400, 'invalid_request'],
    ['too much', grant({ scope: 'notes:read admin' }), 400, 'invalid_scope'],
    ['a parameter twice', formPost(url, 'grant_type=client_credentials&grant_type=x'), 400, 'invalid_request'],
    ['JSON', post(url, valid), 415, 'unsupported_media_type'],
    [
      'introspection by a stranger',
      formPost(`${service.base}/oauth/introspect`, { token: 'x' }),
      401,
      'invalid_client',
    ],
    ['revocation by a stranger', formPost(`${service.base}/oauth/revoke`, { token: 'x' }), 401, 'invalid_client'],
    ['no token', ask('introspect', {}), 400, 'invalid_request'],
    ['a large form', ask('introspect', { token: 'x'.repeat(17_000) }), 413, 'payload_too_large'],
  ];
  for (const [name, answering, status, error] of cases) {
    const { headers, body, ...answer } = await answering;
    t.equal(answer.status, status, name);
    t.equal(headers.get('content-type'), 'application/json; charset=utf-8', name);
    t.equal(headers.get('cache-control'), 'no-store', name);
    t.match(body, { error, code: error, status, error_description: String, requestId: String }, name);
    if (status === 401) t.equal(headers.get('www-authenticate'), 'Basic realm="latchkey"', name);
  }
});

t.test('secrets rotate without a gap, and clients are disabled', async t => {
  const service = await startService(t);
  const { id, basic, ask, grant } = await newClient(service);
  const valid = { grant_type: 'client_credentials' };
  const secret = newClientSecret();
  await replaceClientSecret(service.app.pg, { id, secretHash: hashClientSecret(secret), graceS: 60 }, origin);
  t.equal((await grant()).status, 200, 'the old one, for a while');
  t.equal((await ask('token', valid, basic(secret))).status, 200);
  await service.sql('UPDATE auth.clients SET previous_secret_until = now()');
  t.equal((await grant()).status, 401);
  const { access_token } = (await ask('token', valid, basic(secret))).body;
  const other = await newClient(service);
  t.equal((await other.ask('introspect', { token: access_token })).body.active, true);
  await setClientDisabled(service.app.pg, { id, disabled: true }, origin);
  t.equal((await ask('token', valid, basic(secret))).status, 401);
  t.same((await other.ask('introspect', { token: access_token })).body, { active: false });
  await setClientDisabled(service.app.pg, { id, disabled: false }, origin);
  t.equal((await ask('token', valid, basic(secret))).status, 200);
  const { rows } = await service.sql('SELECT * FROM auth.clients');
  t.notMatch(JSON.stringify(rows), secret);
});

t.test('introspection tells what a token is good for (RFC 7662)', async t => {
  const service = await startService(t);
  const { id, ask, grant } = await newClient(service);
  const introspect = async (token: string) => (await ask('introspect', { token })).body;
  const user = (await post(`${service.base}/auth/sign-up`, newCredentials())).body;
  const claims = segment(user.token, 1);
  const access = await introspect(user.token);
  t.match(access, {
    active: true,
    token_type: 'Bearer',
    username: user.user.username,
    sub: user.user.id,
    sid: claims.sid,
  });
  t.match(access, {
    exp: claims.exp,
    iat: claims.iat,
    jti: claims.jti,
    iss: claims.iss,
    aud: 'latchkey',
    client_id: 'latchkey',
  });
  t.match(await introspect(user.refreshToken), {
    ...{ active: true, token_type: 'refresh_token', sub: user.user.id, username: user.user.username, sid: claims.sid },
  });
  const own = (await grant()).body.access_token;
  t.match(await introspect(own), {
    active: true,
    token_type: 'Bearer',
    client_id: id,
    sub: id,
    scope: /revocations:read/,
  });

  const next = (await post(`${service.base}/auth/refresh`, { refreshToken: user.refreshToken })).body;
  t.equal((await introspect(user.refreshToken)).active, true, 'within the grace period it could be used');
  const third = (await post(`${service.base}/auth/refresh`, { refreshToken: next.refreshToken })).body;
  t.same(await introspect(user.refreshToken), { active: false });
  t.equal((await introspect(third.refreshToken)).active, true);
  for (const odd of ['', 'x', 'a.b.c', `${user.token}x`, `${third.refreshToken}A`, '\0']) {
    t.same(await introspect(odd), { active: false }, JSON.stringify(odd));
  }
  await post(`${service.base}/auth/sign-out`, {}, { authorization: `Bearer ${third.token}` });
  for (const token of [user.token, third.token, third.refreshToken]) t.same(await introspect(token), { active: false });
});

t.test('revocation ends the session of a token (RFC 7009)', async t => {
  const service = await startService(t);
  const { ask, grant } = await newClient(service);
  const signUp = async () => (await post(`${service.base}/auth/sign-up`, newCredentials())).body;
  for (const which of ['token', 'refreshToken'] as const) {
    const user = await signUp();
    const { status, text } = await ask('revoke', { token: user[which], token_type_hint: 'nonsense' });
    t.equal(status, 200);
    t.equal(text, '');
    t.equal((await get(`${service.base}/auth/verify`, user.token)).status, 401, which);
    t.equal((await post(`${service.base}/auth/refresh`, { refreshToken: user.refreshToken })).status, 401, which);
    t.equal((await ask('revoke', { token: user[which] })).status, 200, 'again');
  }
  const user = await signUp();
  const next = (await post(`${service.base}/auth/refresh`, { refreshToken: user.refreshToken })).body;
  await ask('revoke', { token: user.refreshToken });
  t.equal((await get(`${service.base}/auth/me`, next.token)).status, 401, 'a used refresh token ends its session too');
  for (const odd of ['', 'x', `${user.token}x`]) t.equal((await ask('revoke', { token: odd })).status, 200);
  const own = (await grant()).body.access_token;
  t.match(await ask('revoke', { token: own }), { status: 400, body: { error: 'unsupported_token_type' } });
});

t.test('the server tells what it offers (RFC 8414)', async t => {
  const { base, config } = await startService(t);
  const { body } = await get(`${base}/.well-known/oauth-authorization-server`);
  t.equal(body.issuer, config.publicUrl);
  for (const name of ['jwks_uri', 'token_endpoint', 'introspection_endpoint', 'revocation_endpoint']) {
    const { pathname } = new URL(body[name]);
    t.not((await call(base + pathname)).status, 404, name);
  }
  t.same(body.grant_types_supported, ['client_credentials']);
  t.same(body.response_types_supported, ['none'], 'clients want one');
  const discovery = (await get(`${base}/.well-known/openid-configuration`)).body;
  const { subject_types_supported, id_token_signing_alg_values_supported, ...same } = discovery;
  t.same(same, body);
  t.same(subject_types_supported, ['public']);
  t.ok(id_token_signing_alg_values_supported.includes('ES256'));
  t.notOk('authorization_endpoint' in discovery, 'there is none');
});

t.test('the feed tells whose sessions have ended, on every replica', async t => {
  const databaseUrl = await createDatabase();
  const shared = { databaseUrl, authSecrets: [{ id: 'one', key: Buffer.alloc(32, 1) }] as never };
  const [first, second] = (await Promise.all([1, 2].map(() => startService(t, shared)))) as [Service, Service];
  const { grant } = await newClient(first);
  const service = (await grant()).body.access_token;
  const read = async ({ base }: Service, query: Record<string, string> = {}) =>
    (await get(`${base}/auth/revocations?${new URLSearchParams(query)}`, service)).body;
  const signUp = async () => (await post(`${first.base}/auth/sign-up`, newCredentials())).body;
  const signOut = (token: string) => post(`${first.base}/auth/sign-out`, {}, { authorization: `Bearer ${token}` });

  const start = await read(second);
  t.same(start.revoked, []);
  const { body: jwks } = await get(`${first.base}/.well-known/jwks.json`);
  t.same(start.keys, [jwks.keys[0].kid]);

  const user = await signUp();
  const { sid, exp } = segment(user.token, 1);
  const waiting = read(second, { after: start.cursor, wait: '20' });
  await new Promise(resolve => setTimeout(resolve, 300));
  const before = performance.now();
  await signOut(user.token);
  const news = await waiting;
  t.ok(performance.now() - before < 5000, 'it does not wait on');
  t.same(news.revoked, [{ sid, exp }]);
  t.equal((await get(`${second.base}/auth/verify`, user.token)).status, 401, 'and the replica refuses it itself');
  t.same((await read(second, { after: news.cursor })).revoked, [], 'each once');
  const told = await read(first, { after: start.cursor, wait: '20' });
  t.same(told.revoked, [{ sid, exp }], 'a cursor is good on every replica');
  t.same((await read(first)).revoked, [{ sid, exp }], 'new readers get it too');

  const pause = performance.now();
  t.same((await read(second, { after: news.cursor, wait: '1' })).revoked, []);
  t.ok(performance.now() - pause >= 900, 'without news it waits');

  for (const query of [
    'after=x',
    'after=1:2',
    'wait=-1',
    'wait=x',
    'wait=99999',
    'other=1',
    'after=1:2:3&after=1:2:3',
  ]) {
    t.match(
      await get(`${first.base}/auth/revocations?${query}`, service),
      { status: 400, body: { code: 'invalid_request' } },
      query,
    );
  }
});

t.test('however a session ends, its tokens are refused at once', async t => {
  const service = await startService(t, { refreshGraceS: 0 });
  const signUp = async () => {
    const credentials = newCredentials();
    return { credentials, ...(await post(`${service.base}/auth/sign-up`, credentials)).body };
  };
  const verify = async (token: string) => (await get(`${service.base}/auth/verify`, token)).status;
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const json = { 'content-type': 'application/json' };
  type User = Awaited<ReturnType<typeof signUp>>;
  const ends: [name: string, end: (user: User) => Promise<unknown>][] = [
    ['sign-out', user => post(`${service.base}/auth/sign-out`, {}, bearer(user.token))],
    [
      'deletion',
      user =>
        call(`${service.base}/auth/sessions/${segment(user.token, 1).sid}`, {
          method: 'DELETE',
          headers: bearer(user.token),
        }),
    ],
    [
      'theft',
      async user => {
        await post(`${service.base}/auth/refresh`, { refreshToken: user.refreshToken });
        await post(`${service.base}/auth/refresh`, { refreshToken: user.refreshToken });
      },
    ],
    [
      'a password change elsewhere',
      async user => {
        const { body } = await post(`${service.base}/auth/sign-in`, user.credentials);
        const change = { currentPassword: user.credentials.password, newPassword: 'brand new 42' };
        await call(`${service.base}/auth/password`, {
          method: 'PUT',
          headers: { ...bearer(body.token), ...json },
          body: JSON.stringify(change),
        });
      },
    ],
  ];
  for (const [name, end] of ends) {
    const user = await signUp();
    t.equal(await verify(user.token), 200, name);
    await end(user);
    t.equal(await verify(user.token), 401, name);
  }
  for (const sql of [
    'UPDATE auth.users SET disabled_at = now() WHERE id = $1',
    'DELETE FROM auth.users WHERE id = $1',
  ]) {
    const user = await signUp();
    await service.sql(sql, [user.user.id]);
    await until(async () => (await verify(user.token)) === 401, sql);
  }
  const expired = await signUp();
  await service.sql(`UPDATE auth.sessions SET token_expires_at = now() - interval '1 hour' WHERE user_id = $1`, [
    expired.user.id,
  ]);
  await service.sql('UPDATE auth.sessions SET revoked_at = now() WHERE user_id = $1', [expired.user.id]);
  const { rows } = await service.sql('SELECT FROM auth.revocations WHERE session_id = $1', [
    segment(expired.token, 1).sid,
  ]);
  t.equal(rows.length, 0, 'what has expired anyway is not told');
});

t.test('a revocation that is committed late is not missed', async t => {
  const service = await startService(t);
  const { grant } = await newClient(service);
  const token = (await grant()).body.access_token;
  const read = async (after?: string) =>
    (await get(`${service.base}/auth/revocations${after ? `?${new URLSearchParams({ after })}` : ''}`, token)).body;
  const signUp = async () => (await post(`${service.base}/auth/sign-up`, newCredentials())).body;
  const [slow, quick] = [await signUp(), await signUp()];
  const end = 'UPDATE auth.sessions SET revoked_at = now() WHERE user_id = $1';
  const client = await service.app.pg.connect();
  await client.query('BEGIN');
  await client.query(end, [slow.user.id]);
  await service.sql(end, [quick.user.id]);
  await until(async () => (await read()).revoked.length === 1, 'the quick one');
  let seen = await read();
  await client.query('COMMIT');
  client.release();
  const found: string[] = [];
  await until(async () => {
    const news = await read(seen.cursor);
    found.push(...news.revoked.map(({ sid }: { sid: string }) => sid));
    seen = news;
    return found.length > 0;
  }, 'the slow one');
  t.same(found, [segment(slow.token, 1).sid], 'it, and nothing twice');
});

t.test(
  'a database that is set back ends again what it has forgotten, and what ends from then on is not missed',
  async t => {
    const postgres = await startThrowawayPostgres();
    t.teardown(() => postgres.stop());
    const shared = { databaseUrl: postgres.url, authSecrets: [{ id: 'one', key: Buffer.alloc(32, 1) }] as never };
    const [first, second] = (await Promise.all([1, 2].map(() => startService(t, shared)))) as [Service, Service];
    const { grant } = await newClient(first);
    const token = (await grant()).body.access_token;
    const read = async ({ base }: Service, after?: string) =>
      get(`${base}/auth/revocations${after === undefined ? '' : `?${new URLSearchParams({ after })}`}`, token);
    const signUp = async () => (await post(`${first.base}/auth/sign-up`, newCredentials())).body;
    const signOut = async (token: string) =>
      (await post(`${first.base}/auth/sign-out`, {}, { authorization: `Bearer ${token}` })).status;
    const sidOf = ({ token }: { token: string }) => segment(token, 1).sid as string;
    const isRefused = (user: { token: string }) => async () =>
      (await Promise.all([first, second].map(({ base }) => get(`${base}/auth/verify`, user.token)))).every(
        ({ status }) => status === 401,
      );
    const knows = (service: Service, after: string | undefined, users: { token: string }[]) => async () => {
      const { body } = await read(service, after);
      return users.every(user => body.revoked?.some(({ sid }: { sid: string }) => sid === sidOf(user)));
    };

    const early = await signUp();
    t.equal(await signOut(early.token), 204);
    const before = await signUp();
    const setBack = await postgres.backUp();
    await until(async () => (await get(`${first.base}/readyz`)).status === 200, 'the database is back');
    const after = await signUp();
    for (const user of [before, after]) t.equal(await signOut(user.token), 204);
    await until(isRefused(after), 'both replicas know');
    const { body: old } = await read(second);

    await setBack();
    await until(async () => (await get(`${first.base}/readyz`)).status === 200, 'the database is back');
    for (const user of [early, before, after]) t.ok(await isRefused(user)(), 'what was known is not forgotten');
    const late = await signUp();
    t.equal(await signOut(late.token), 204);
    await until(isRefused(late), 'what ends after the restore is known everywhere');
    for (const service of [first, second]) {
      await until(knows(service, undefined, [early, before, after, late]), 'the feed has everything');
      t.ok(await knows(service, old.cursor, [early, before, after, late])(), 'also for a reader from before');
    }
    const { status } = await post(`${first.base}/auth/refresh`, { refreshToken: before.refreshToken });
    t.equal(status, 401, 'the session is ended in the database, too');
    const third = await startService(t, shared);
    for (const user of [early, before, after, late]) {
      t.equal((await get(`${third.base}/auth/verify`, user.token)).status, 401, 'a new replica knows as well');
    }
  },
);

t.test('no reader waits on after its connection or the service has closed', async t => {
  const service = await startService(t);
  const { grant } = await newClient(service);
  const headers = { authorization: `Bearer ${(await grant()).body.access_token}` };
  const { cursor } = (await call(`${service.base}/auth/revocations`, { headers })).body;
  const url = `${service.base}/auth/revocations?${new URLSearchParams({ after: cursor, wait: '30' })}`;
  const hangUp = new AbortController();
  const gone = call(url, { headers, signal: hangUp.signal });
  const patient = call(url, { headers });
  await new Promise(resolve => setTimeout(resolve, 300));
  hangUp.abort();
  await t.rejects(gone, { name: 'AbortError' });
  const before = performance.now();
  await service.app.close();
  t.ok(performance.now() - before < 5000);
  t.match(await patient, { status: 200, body: { revoked: [] } });
});

t.test('the client of a development environment never takes the place of another', async t => {
  const [mine, theirs] = [newClientSecret(), newClientSecret()];
  const firstClient = { id: 'notes-service', secret: mine, scopes: ['revocations:read'] };
  const service = await startService(t, { firstClient });
  const grant = async (secret: string) => {
    const authorization = `Basic ${Buffer.from(`notes-service:${secret}`).toString('base64')}`;
    return (await formPost(`${service.base}/oauth/token`, { grant_type: 'client_credentials' }, { authorization }))
      .status;
  };
  t.equal(await grant(mine), 200, 'it is there from the start');
  const again = await startService(t, { ...service.config, firstClient });
  t.notMatch(again.logs.join(''), /development settings/);

  const other = { id: 'notes-service', secretHash: hashClientSecret(theirs), graceS: 0 };
  await replaceClientSecret(service.app.pg, other, origin);
  const restarted = await startService(t, { ...service.config, firstClient });
  t.equal(await grant(theirs), 200, 'callers with its secret go on');
  t.equal(await grant(mine), 401);
  t.match(restarted.logs.join(''), /another secret.*clients rotate notes-service.*development settings/);
  t.notMatch(restarted.logs.join(''), mine);
  const { rows } = await service.sql('SELECT event FROM auth.audit_events WHERE client_id IS NOT NULL ORDER BY id');
  t.same(
    rows.map(({ event }) => event),
    ['client_created', 'client_secret_rotated'],
  );
});
