import { createHash, createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import fc from 'fast-check';
import { fastify } from 'fastify';
import t, { type Test } from 'tap';
import { type AuthGuardError, type AuthGuardOptions, authGuard, type VerifierOptions } from '#src/fastify.js';
import { createTestIssuer, type TestIssuer } from '#src/testing/index.js';

const sessionId = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`;

const ISSUER = 'https://auth.example.com';
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

type Key = { kid: string; privateKey: KeyObject; jwk: Record<string, unknown> };

function newKey(): Key {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = publicKey.export({ format: 'jwk' });
  const kid = createHash('sha256').update(JSON.stringify(jwk)).digest('base64url');
  return { kid, privateKey, jwk: { ...jwk, kid, alg: 'ES256', use: 'sig' } };
}

const now = () => Math.floor(Date.now() / 1000);
const claims = (more: object = {}) => ({
  ...{
    iss: ISSUER,
    aud: 'latchkey',
    sub: 'u1',
    client_id: 'latchkey',
    jti: 'j1',
    sid: sessionId(1),
    id: 'u1',
    username: 'ada',
  },
  ...{ iat: now(), exp: now() + 600, ...more },
});

function token(key: Key, { header = {}, payload = claims() }: { header?: object; payload?: object } = {}): string {
  const input = `${encode({ alg: 'ES256', typ: 'at+jwt', kid: key.kid, ...header })}.${encode(payload)}`;
  return `${input}.${sign('sha256', Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

/** A guarded app, and the key set that it fetches. */
async function guarded(t: Test, keys: Key[], options: Partial<VerifierOptions> = {}) {
  const app = fastify();
  let fetches = 0;
  let online = true;
  await app.register(authGuard, {
    issuer: ISSUER,
    audience: 'latchkey',
    fetch: async () => {
      fetches++;
      if (!online) throw new TypeError('fetch failed');
      return Response.json({ keys: keys.map(({ jwk }) => jwk) });
    },
    ...options,
  });
  app.get('/mine', { onRequest: app.authenticate }, async ({ user }) => ({ id: user.id, username: user.username }));
  t.teardown(() => app.close());
  const ask = (bearer?: string) =>
    app.inject({ url: '/mine', headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` } });
  const setOnline = (value: boolean) => {
    online = value;
  };
  return { app, ask, fetches: () => fetches, setOnline };
}

t.test('lets a valid token pass and sets its claims, fetching the keys once', async t => {
  const key = newKey();
  const { ask, fetches } = await guarded(t, [key]);
  const responses = await Promise.all(
    Array.from({ length: 20 }, (_, i) => ask(token(key, { payload: claims({ jti: `${i}` }) }))),
  );
  for (const response of responses) {
    t.equal(response.statusCode, 200);
    t.same(response.json(), { id: 'u1', username: 'ada' });
  }
  t.equal(fetches(), 1);
});

t.test('challenges requests without a token', async t => {
  const { ask, app } = await guarded(t, [newKey()]);
  const missing = await ask();
  t.equal(missing.statusCode, 401);
  t.equal(missing.json().code, 'missing_token');
  t.equal(missing.headers['www-authenticate'], 'Bearer');
  for (const authorization of ['Bearer', 'Bearer x y', 'Basic eA==', 'Bearer ']) {
    const invalid = await app.inject({ url: '/mine', headers: { authorization } });
    t.equal(invalid.json().code, 'invalid_token');
    t.equal(invalid.headers['www-authenticate'], 'Bearer error="invalid_token"');
  }
});

t.test('an app without an error handler responds as Fastify does, one with its own as that decides', async t => {
  const { ask } = await guarded(t, [newKey()]);
  const refused = await ask();
  t.equal(refused.headers['content-type'], 'application/json; charset=utf-8');
  const message = 'Send an access token: Authorization: Bearer …';
  t.same(refused.json(), { statusCode: 401, code: 'missing_token', error: 'Unauthorized', message });

  const { app } = await guarded(t, [newKey()]);
  app.setErrorHandler<AuthGuardError>(({ code, statusCode, message: detail }, _request, reply) =>
    reply.status(statusCode).type('application/problem+json').send({ status: statusCode, code, detail }),
  );
  const problem = await app.inject('/mine');
  t.match(problem, { statusCode: 401, headers: { 'www-authenticate': 'Bearer' } });
  t.equal(problem.headers['content-type'], 'application/problem+json; charset=utf-8');
  t.same(problem.json(), { status: 401, code: 'missing_token', detail: message });
});

t.test('refuses what the issuer did not sign, or not for us', async t => {
  const key = newKey();
  const stranger = newKey();
  const { ask } = await guarded(t, [key]);
  const valid = token(key);
  t.equal((await ask(valid)).statusCode, 200);
  const [header, payload, signature] = valid.split('.') as [string, string, string];
  const publicJwk = JSON.stringify(key.jwk);
  const hs256 = `${encode({ alg: 'HS256', typ: 'at+jwt', kid: key.kid })}.${payload}`;
  const unsigned = (alg: string) => `${encode({ alg, typ: 'at+jwt', kid: key.kid })}.${payload}.`;

  const forged: Record<string, string> = {
    'no signature': `${header}.${payload}.`,
    'two segments': `${header}.${payload}`,
    'another payload': `${header}.${encode(claims({ id: 'root' }))}.${signature}`,
    'another signature': `${header}.${payload}.${token(key, { payload: claims({ jti: 'x' }) }).split('.')[2]}`,
    'the signature in DER': `${header}.${payload}.${sign('sha256', Buffer.from(`${header}.${payload}`), key.privateKey).toString('base64url')}`,
    none: unsigned('none'),
    None: unsigned('None'),
    nOnE: unsigned('nOnE'),
    'HS256 keyed with the public key': `${hs256}.${createHmac('sha256', publicJwk).update(hs256).digest('base64url')}`,
    'a stranger’s key under our kid': token({ ...stranger, kid: key.kid }),
    'an unknown kid': token(stranger),
    'no kid': token(key, { header: { kid: undefined } }),
    'its own key': token(stranger, { header: { jwk: stranger.jwk } }),
    'a key URL': token(stranger, { header: { jku: 'https://evil.example.com', x5u: 'https://evil.example.com' } }),
    'a critical extension': token(key, { header: { crit: ['exp'] } }),
    'typ JWT': token(key, { header: { typ: 'JWT' } }),
    'no typ': token(key, { header: { typ: undefined } }),
    'a list as typ': token(key, { header: { typ: ['at+jwt'] } }),
    'another issuer': token(key, { payload: claims({ iss: 'https://evil.example.com' }) }),
    'a list of issuers': token(key, { payload: claims({ iss: [ISSUER] }) }),
    'another audience': token(key, { payload: claims({ aud: 'billing' }) }),
    'no audience': token(key, { payload: claims({ aud: undefined }) }),
    'no subject': token(key, { payload: claims({ sub: undefined }) }),
    'no expiry': token(key, { payload: claims({ exp: undefined }) }),
    'an expiry as text': token(key, { payload: claims({ exp: `${now() + 600}` }) }),
    expired: token(key, { payload: claims({ exp: now() - 10 }) }),
    'not valid yet': token(key, { payload: claims({ nbf: now() + 60 }) }),
    'too long': `${valid}${'A'.repeat(9000)}`,
    'a deep header': `${'W1tb'.repeat(500)}.${payload}.${signature}`,
  };
  for (const [name, bearer] of Object.entries(forged)) {
    const response = await ask(bearer);
    t.equal(response.statusCode, 401, name);
    t.equal(response.json().code, 'invalid_token', name);
  }
  t.equal((await ask(valid)).statusCode, 200, 'and still knows the valid one');
});

t.test('no mutation of a valid token passes', async t => {
  const key = newKey();
  const { ask } = await guarded(t, [key]);
  const valid = token(key);
  const characters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/';
  await fc.assert(
    fc.asyncProperty(
      fc.nat(valid.length - 1),
      fc.constantFrom(...characters),
      fc.nat(2),
      async (at, character, kind) => {
        const mutated = valid.slice(0, at) + (kind === 1 ? '' : character) + valid.slice(kind === 2 ? at : at + 1);
        return mutated === valid || (await ask(mutated)).statusCode === 401;
      },
    ),
    { numRuns: 3000, examples: [...'AEIMQUYcgkosw048BCDFGHJKLNOPRSTVWXZ'].map(last => [valid.length - 1, last, 0]) },
  );
});

t.test('a little clock skew is forgiven', async t => {
  const key = newKey();
  const { ask } = await guarded(t, [key]);
  t.equal((await ask(token(key, { payload: claims({ exp: now() - 2 }) }))).statusCode, 200);
});

t.test('finds a new key, but asks for unknown ones at most once in 30 seconds', async t => {
  const keys = [newKey()];
  const { ask, fetches } = await guarded(t, keys);
  t.equal((await ask(token(keys[0] as Key))).statusCode, 200);
  const rotated = newKey();
  keys.push(rotated);
  for (let i = 0; i < 50; i++) t.equal((await ask(token(newKey()))).statusCode, 401);
  t.equal(fetches(), 1, 'the cooldown holds');

  const real = performance.now.bind(performance);
  t.intercept(performance, 'now', { value: () => real() + 31_000, writable: true });
  t.equal((await ask(token(rotated))).statusCode, 200);
  for (let i = 0; i < 50; i++) await ask(token(newKey()));
  t.equal(fetches(), 2);
});

t.test('without keys it is unavailable, not unauthorized, and recovers', async t => {
  const key = newKey();
  const { ask, setOnline, fetches } = await guarded(t, [key]);
  setOnline(false);
  const refused = await ask(token(key));
  t.equal(refused.statusCode, 503);
  t.equal(refused.json().code, 'service_unavailable');
  t.ok(refused.headers['retry-after']);
  for (let i = 0; i < 20; i++) await ask(token(key));
  t.equal(fetches(), 1, 'it does not hammer the issuer');

  setOnline(true);
  const real = performance.now.bind(performance);
  t.intercept(performance, 'now', { value: () => real() + 1100, writable: true });
  t.equal((await ask(token(key))).statusCode, 200);
  setOnline(false);
  t.equal(
    (await ask(token(key, { payload: claims({ jti: 'j2' }) }))).statusCode,
    200,
    'keys once fetched go on working',
  );
});

/** A guarded app of the test issuer, with what it logs. */
async function guardedBy(t: Test, auth: TestIssuer, options: Partial<AuthGuardOptions> = {}) {
  const logs: string[] = [];
  const app = fastify({ logger: { level: 'warn', stream: { write: (line: string) => void logs.push(line) } } });
  const { issuer, audience, fetch } = auth;
  await app.register(authGuard, { issuer, audience, fetch, ...options });
  app.get('/mine', { onRequest: app.authenticate }, async ({ user }) => user.username);
  app.get('/jobs', { onRequest: app.authenticateService('jobs:read') }, async ({ service }) => service.client_id);
  t.teardown(() => app.close());
  t.teardown(() => auth.close());
  const ask = (url: string, bearer?: string) =>
    app.inject({ url, headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` } });
  return { app, ask, logs };
}

t.test('accepts services by scope, and neither kind of token for the other', async t => {
  const auth = createTestIssuer();
  const { ask, app } = await guardedBy(t, auth);
  const allowed = await ask('/jobs', auth.serviceToken('jobs:write jobs:read', 'billing'));
  t.equal(allowed.statusCode, 200);
  t.equal(allowed.body, 'billing');

  const other = await ask('/jobs', auth.serviceToken('jobs:write jobs'));
  t.equal(other.statusCode, 403);
  t.equal(other.json().code, 'insufficient_scope');
  t.equal(other.headers['www-authenticate'], 'Bearer error="insufficient_scope", scope="jobs:read"');
  t.equal((await ask('/jobs', auth.serviceToken(''))).statusCode, 403);

  for (const [url, token] of [
    ['/jobs', auth.signIn('ada').token],
    ['/jobs', auth.token({ scope: 'jobs:read' })],
    ['/mine', auth.serviceToken('jobs:read')],
  ] as const) {
    const refused = await ask(url, token);
    t.equal(refused.statusCode, 401);
    t.equal(refused.headers['www-authenticate'], 'Bearer error="invalid_token"');
  }
  t.equal((await ask('/jobs')).headers['www-authenticate'], 'Bearer');
  for (const scope of ['', 'a b', 'a"b', 'ä']) t.throws(() => app.authenticateService(scope), TypeError);
});

t.test('refuses the token of an ended session, and responds with 503 when the feed is stale', async t => {
  const auth = createTestIssuer();
  let online = true;
  const { ask, logs } = await guardedBy(t, auth, {
    ...{ client: auth.client, maxStalenessMs: 500, onStale: 'closed', timeoutMs: 200 },
    fetch: (url, init) => (online ? auth.fetch(url, init) : Promise.reject(new TypeError('fetch failed'))),
  });
  const [{ token }, other] = [auth.signIn('ada'), auth.signIn('ada')];
  t.equal((await ask('/mine', token)).statusCode, 200);
  auth.endSession(JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()).sid);
  let response = await ask('/mine', token);
  for (let i = 0; i < 500 && response.statusCode === 200; i++) {
    await new Promise(resolve => setTimeout(resolve, 10));
    response = await ask('/mine', token);
  }
  t.equal(response.statusCode, 401);
  t.equal((await ask('/mine', other.token)).statusCode, 200);
  t.same(logs, []);

  online = false;
  await new Promise(resolve => setTimeout(resolve, 900));
  const stale = await ask('/mine', other.token);
  t.equal(stale.statusCode, 503);
  t.equal(stale.json().code, 'service_unavailable');
  t.equal(stale.headers['retry-after'], '1');
  t.match(logs.join(''), /"level":40.*AuthTransportError.*impaired.*\n.*stale_revocations/);
});

t.test('ends with the app', async t => {
  const auth = createTestIssuer();
  let asked = 0;
  const { app } = await guardedBy(t, auth, {
    client: auth.client,
    fetch: (url, init) => {
      asked++;
      return auth.fetch(url, init);
    },
  });
  await app.ready();
  await new Promise(resolve => setTimeout(resolve, 200));
  await app.close();
  const before = asked;
  auth.endSession(sessionId(1));
  await new Promise(resolve => setTimeout(resolve, 300));
  t.ok(before > 0);
  t.equal(asked, before);
});

t.test('an app does not start when the auth-service refuses its client, unless onRefusedClient is warn', async t => {
  const auth = createTestIssuer();
  const client = { ...auth.client, secret: 'wrong' };
  const { app, logs } = await guardedBy(t, auth, { client });
  await t.rejects(async () => app.ready(), { code: 'invalid_client', message: /refuses the client "test-service"/ });
  t.match(logs, [/"level":50.*VerifierConfigurationError.*refuses the client/]);
  t.equal(logs.length, 1, 'loudly, and once');

  const warned = await guardedBy(t, createTestIssuer(), { client, onRefusedClient: 'warn' });
  await warned.app.ready();
  t.match(warned.logs, [/"level":50.*VerifierConfigurationError/]);

  const isAway = { fetch: () => Promise.reject(new TypeError('fetch failed')) };
  const alone = await guardedBy(t, createTestIssuer(), { client, ...isAway });
  await alone.app.ready();
  t.same(alone.logs, [], 'services start in any order');

  const missing = guardedBy(t, createTestIssuer(), { client: undefined } as never);
  await t.rejects(missing, { name: 'TypeError', message: /leave the option out/ });
});

t.test('demands a stronger or a younger sign-in (RFC 9470)', async t => {
  const auth = createTestIssuer();
  const { app, ask } = await guardedBy(t, auth);
  const hello = async () => 'hello';
  app.get('/strong', { onRequest: app.authenticate({ acr: 'aal2' }) }, async ({ user }) => user.username);
  app.get('/young', { onRequest: app.authenticate({ maxAgeS: 600 }) }, hello);
  app.get('/both', { onRequest: [app.authenticate({ acr: 'aal2', maxAgeS: 600 })] }, hello);
  const mfa = ['pwd', 'otp', 'mfa'];
  const tokens = {
    weak: auth.signIn('ada').token,
    strong: auth.signIn('ada', { amr: mfa }).token,
    old: auth.signIn('ada', { amr: mfa, authTime: now() - 700 }).token,
    'of the version before': auth.token({ auth_time: undefined, amr: undefined, acr: undefined }),
  };
  const accepted: Record<string, (keyof typeof tokens)[]> = {
    '/mine': ['weak', 'strong', 'old', 'of the version before'],
    '/strong': ['strong', 'old'],
    '/young': ['weak', 'strong'],
    '/both': ['strong'],
  };
  for (const [url, names] of Object.entries(accepted)) {
    for (const [name, bearer] of Object.entries(tokens)) {
      const { statusCode } = await ask(url, bearer);
      t.equal(statusCode, names.includes(name as never) ? 200 : 401, `${url}, ${name}`);
    }
  }
  t.equal((await ask('/strong', tokens.strong)).body, 'ada');
  const refused = await ask('/both', tokens.weak);
  t.equal(refused.json().code, 'insufficient_user_authentication');
  const challenge = 'Bearer error="insufficient_user_authentication", acr_values="aal2", max_age=600';
  t.equal(refused.headers['www-authenticate'], challenge);
  t.equal((await ask('/both')).json().code, 'missing_token');
  t.equal((await ask('/both', auth.serviceToken('x'))).json().code, 'invalid_token');
  const skewed = auth.signIn('ada', { amr: mfa, authTime: now() - 603 }).token;
  t.equal((await ask('/both', skewed)).statusCode, 200, 'a little clock skew is forgiven');
});

t.test('a guard demands by its options of every route, unless a route demands otherwise', async t => {
  const auth = createTestIssuer();
  const { app, ask } = await guardedBy(t, auth, { acr: 'aal2', maxAgeS: 60 });
  const hello = async () => 'hello';
  app.get('/enrol', { onRequest: app.authenticate({ acr: 'aal1' }) }, hello);
  const weak = auth.signIn('ada').token;
  const refused = await ask('/mine', weak);
  const challenge = 'Bearer error="insufficient_user_authentication", acr_values="aal2", max_age=60';
  t.match(refused, { statusCode: 401, headers: { 'www-authenticate': challenge } });
  t.equal((await ask('/mine', auth.signIn('ada', { amr: ['hwk', 'user', 'mfa'] }).token)).statusCode, 200);
  t.equal((await ask('/enrol', weak)).statusCode, 200);
  t.equal((await ask('/enrol', auth.signIn('ada', { authTime: 0 }).token)).statusCode, 401);
});

t.test('a demand that is wrong is found when a route is registered', async t => {
  const auth = createTestIssuer();
  const { app } = await guardedBy(t, auth);
  const wrong: object[] = [
    ...[{}, { acr: 'aal3' }, { acr: undefined }, { acr: 2 }, { maxAgeS: -1 }, { maxAgeS: 1.5 }, { maxAgeS: '600' }],
    ...[{ maxAge: 600 }, { acr: 'aal2', max_age: 600 }, { maxAgeS: Number.NaN }],
  ];
  for (const demand of wrong) t.throws(() => app.authenticate(demand as never), TypeError, JSON.stringify(demand));
  for (const demand of [undefined, null])
    t.throws(() => app.authenticate(demand as never), { name: 'TypeError', message: /^demand acr/ }, `${demand}`);
  for (const options of [{ acr: 'aal3' }, { acr: undefined }, { maxAgeS: '600' }]) {
    await t.rejects(guardedBy(t, createTestIssuer(), options as never), { name: 'TypeError' }, JSON.stringify(options));
  }
});
