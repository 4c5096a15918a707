import { generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto';
import t, { type Test } from 'tap';
import { createVerifier, type ServiceCredentials, type Verifier, type VerifierOptions } from '#src/index.js';
import { createTestIssuer, type TestIssuer } from '#src/testing/index.js';

const sessionId = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`;

type Fetch = (url: string, init: RequestInit) => Promise<Response>;

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));
const now = () => Math.floor(Date.now() / 1000);

async function until(condition: () => unknown, what: string): Promise<void> {
  for (let i = 0; i < 1500; i++) {
    if (await condition()) return;
    await sleep(10);
  }
  throw new Error(`waited in vain: ${what}`);
}

type Setup = Partial<VerifierOptions> & { auth?: TestIssuer };

/** A verifier on a test issuer, with what is asked of that. */
function start(t: Test, { auth = createTestIssuer(), ...options }: Setup = {}) {
  const asked: string[] = [];
  const warnings: unknown[] = [];
  const inner = options.fetch ?? auth.fetch;
  const verifier = createVerifier({
    issuer: auth.issuer,
    audience: auth.audience,
    onWarning: error => warnings.push(error),
    ...options,
    fetch: (url, init) => {
      asked.push(new URL(url).pathname);
      return inner(url, init);
    },
  });
  t.teardown(() => verifier.close());
  t.teardown(() => auth.close());
  const count = (path: string) => asked.filter(one => one === path).length;
  return { auth, verifier, count, warnings };
}

const accepts = (verifier: Verifier, token: string) =>
  verifier.verify(token).then(
    () => true,
    () => false,
  );

/** The issuer's fetch, with the responses of a function in place of some. */
const meddle =
  (auth: TestIssuer, respond: (path: string, init: RequestInit) => Response | Promise<Response> | undefined): Fetch =>
  async (url, init) =>
    (await respond(new URL(url).pathname, init)) ?? auth.fetch(url, init);

/** Does not respond until the request is aborted. */
const hang: Fetch = (_, { signal }) =>
  new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));

const problem = (status: number, code: string, headers: Record<string, string> = {}) =>
  Response.json(
    { type: 'x', title: 'x', status, detail: code, code, requestId: 'r' },
    { status, headers: { 'content-type': 'application/problem+json', ...headers } },
  );

t.test('verifies a user’s token and a service’s, and neither for the other', async t => {
  const { auth, verifier, count } = start(t);
  const { token, user } = auth.signIn('ada');
  t.match(await verifier.verify(token), { id: user.id, username: 'ada' });
  await t.rejects(verifier.verifyService(token), { name: 'TokenRejectedError', code: 'invalid_token' });

  const service = auth.serviceToken('notes:read notes:write', 'billing');
  t.match(await verifier.verifyService(service), { client_id: 'billing', scope: 'notes:read notes:write' });
  t.match(await verifier.verifyService(service, 'notes:write'), { sub: 'billing' });
  for (const scope of ['notes', 'notes:read notes:write', '']) {
    await t.rejects(verifier.verifyService(service, scope), { code: 'insufficient_scope' });
  }
  await t.rejects(verifier.verify(service), { code: 'invalid_token' });
  t.equal(count('/.well-known/jwks.json'), 1);

  const mixed = auth.token({ scope: 'notes:read' });
  t.match(await verifier.verify(mixed), { username: 'somebody' }, 'a scope does not make a service');
  await t.rejects(verifier.verifyService(mixed), { code: 'invalid_token' });
  await t.rejects(verifier.verifyService(auth.token({ scope: 'x', sid: undefined })), { code: 'invalid_token' });
  const impostor = auth.token({ scope: 'x', sid: undefined, id: undefined, username: undefined });
  await t.rejects(verifier.verifyService(impostor), { code: 'invalid_token' }, 'sub and client_id differ');
});

t.test('the returned claims cannot be changed for later callers', async t => {
  const { auth, verifier } = start(t);
  const { token } = auth.signIn('ada');
  const claims = await verifier.verify(token);
  t.throws(() => {
    claims.username = 'root';
  }, TypeError);
  t.match(await verifier.verify(token), { username: 'ada' });
});

t.test('what is kept of tokens is bounded in bytes, and garbage is not kept', async t => {
  const { auth, verifier } = start(t);
  const claimsOf = new Map<string, unknown>();
  const isKept = async (token: string) => claimsOf.get(token) === (await verifier.verify(token));
  const keep = async (token: string) => void claimsOf.set(token, await verifier.verify(token));
  const { token } = auth.signIn('ada');
  await keep(token);
  for (let i = 0; i < 5100; i++) {
    if (await accepts(verifier, `${token.slice(0, -8)}${String(i).padStart(7, '0')}A`)) t.fail('garbage is accepted');
  }
  t.ok(await isKept(token), 'garbage presses nothing out');

  const large = Array.from({ length: 1200 }, (_, i) => auth.token({ username: `${'x'.repeat(5500)}${i}` }));
  for (const one of large) await keep(one);
  let kept = 0;
  for (const one of large.toReversed()) if (await isKept(one)) kept += one.length;
  t.ok(kept > 0 && kept <= 8 * 1024 * 1024, `${kept} bytes`);
});

t.test('claims must be of the right kind, each of them', async t => {
  const { auth, verifier } = start(t);
  const odd = [
    ...[{ aud: ['latchkey'] }, { iss: ['http://auth.test'] }, { aud: 'billing' }, { iss: 'http://evil.test' }],
    ...[{ sid: undefined }, { sid: 5 }, { id: null }, { username: {} }, { jti: undefined }, { client_id: undefined }],
    ...[{ iat: '1' }, { exp: undefined }, { exp: `${now() + 60}` }, { nbf: now() + 60 }, { nbf: 'x' }],
  ];
  for (const claims of odd) {
    await t.rejects(verifier.verify(auth.token(claims)), { code: 'invalid_token' }, JSON.stringify(claims));
  }
  for (const token of ['', '.', '..', 'a.b.c', 'é.é.é', 'x'.repeat(70_000), undefined as never, {} as never]) {
    await t.rejects(verifier.verify(token), { code: 'invalid_token' });
  }
});

t.test('a token that was verified is checked again by the clock', async t => {
  const { auth, verifier } = start(t, { clockToleranceMs: 0 });
  const token = auth.token({ exp: now() + 600, nbf: now() - 5 });
  await verifier.verify(token);
  const real = Date.now;
  t.teardown(() => {
    Date.now = real;
  });
  Date.now = () => real() + 601_000;
  await t.rejects(verifier.verify(token), { code: 'expired_token' });
  await t.rejects(verifier.verify(auth.token({ exp: now() - 1 })), { code: 'expired_token' });
  Date.now = () => real() - 10_000;
  await t.rejects(verifier.verify(token), { code: 'invalid_token', message: /not valid yet/ });
  Date.now = real;
  t.ok(await accepts(verifier, token));
});

t.test('keys of three kinds verify, others are ignored', async t => {
  const kinds = {
    ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EdDSA: generateKeyPairSync('ed25519'),
    RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  };
  const jwk = (key: KeyObject, more: object) => ({ ...key.export({ format: 'jwk' }), use: 'sig', ...more });
  const unusable: unknown[] = [
    ...[null, 5, 'key', {}, { kid: 'x' }, { kty: 'oct', k: 'AAAA', kid: 'hmac', alg: 'HS256', use: 'sig' }],
    jwk(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey, { kid: 'p384', alg: 'ES256' }),
    jwk(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey, { kid: 'short', alg: 'RS256' }),
    jwk(kinds.RS256.publicKey, { kid: 'ps', alg: 'PS256' }),
    jwk(kinds.RS256.publicKey, { kid: 'wrong', alg: 'ES256' }),
    jwk(kinds.ES256.publicKey, { kid: 'enc', alg: 'ES256', use: 'enc' }),
    { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', kid: 'broken', alg: 'ES256', use: 'sig' },
  ];
  const auth = createTestIssuer();
  const usable = Object.entries(kinds).map(([alg, { publicKey }]) => jwk(publicKey, { kid: alg, alg }));
  const { verifier } = start(t, {
    auth,
    fetch: async () =>
      Response.json({ keys: [...unusable, ...usable] }, { headers: { 'content-type': 'application/jwk-set+json' } }),
  });
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = {
    ...{ iss: auth.issuer, aud: auth.audience, sub: 'u', client_id: 'c', iat: now(), exp: now() + 600 },
    ...{ jti: 'j', sid: 's', id: 'u', username: 'ada' },
  };
  const signWith = (alg: keyof typeof kinds, header: object = {}) => {
    const input = Buffer.from(`${encode({ alg, kid: alg, typ: 'at+jwt', ...header })}.${encode(claims)}`);
    const { privateKey } = kinds[alg];
    const how = { key: privateKey, dsaEncoding: 'ieee-p1363' as const };
    return `${input}.${sign(alg === 'EdDSA' ? null : 'sha256', input, how).toString('base64url')}`;
  };
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  for (const alg of ['ES256', 'EdDSA', 'RS256'] as const) {
    const token = signWith(alg);
    t.match(await verifier.verify(token), { username: 'ada' }, alg);
    for (const last of alphabet) {
      const spelling = token.slice(0, -1) + last;
      if (spelling !== token) t.notOk(await accepts(verifier, spelling), `${alg} ends in ${last}`);
    }
    for (const other of ['ES256', 'EdDSA', 'RS256', 'HS256', 'none']) {
      if (other !== alg) t.notOk(await accepts(verifier, signWith(alg, { alg: other })), `${alg} as ${other}`);
    }
  }
  for (const kid of ['ps', 'wrong', 'short', 'enc', 'hmac']) {
    t.notOk(await accepts(verifier, signWith('RS256', { kid })), kid);
  }
});

t.test('keys are fetched again after 5 minutes, and after 30 seconds when that failed', async t => {
  const auth = createTestIssuer();
  let online = true;
  const { verifier, count, warnings } = start(t, {
    auth,
    fetch: meddle(auth, () => (online ? undefined : Response.error())),
  });
  const keys = () => count('/.well-known/jwks.json');
  const real = performance.now.bind(performance);
  let ahead = 0;
  t.intercept(performance, 'now', { value: () => real() + ahead, writable: true });
  const { token } = auth.signIn('ada');
  const after = async (seconds: number, fetches: number) => {
    ahead += seconds * 1000;
    for (let i = 0; i < 3; i++) t.ok(await accepts(verifier, token));
    await sleep(20);
    t.equal(keys(), fetches, `after ${ahead / 1000} s`);
  };
  await after(0, 1);
  await after(290, 1);
  online = false;
  await after(15, 2);
  t.equal(warnings.length, 1);
  await after(20, 2);
  await after(15, 3);
  t.equal(warnings.length, 1, 'the same failure is reported once');
  await t.rejects(verifier.verify(createTestIssuer().token()), { code: 'keys_unavailable' }, 'it may be a new key');
  online = true;
  await after(31, 4);
  await after(100, 4);
  ahead += 60_000;
  await t.rejects(verifier.verify(createTestIssuer().token()), { code: 'invalid_token' });
});

t.test('without keys the verifier is unavailable', async t => {
  const responses: [name: string, respond: () => Response][] = [
    ['an error', () => problem(503, 'service_unavailable')],
    ['a page', () => new Response('<html>', { headers: { 'content-type': 'text/html' } })],
    ['no set', () => Response.json([])],
    ['an empty set', () => Response.json({ keys: [] })],
    ['a flood', () => new Response(' '.repeat(2_000_000), { headers: { 'content-type': 'application/json' } })],
  ];
  for (const [name, respond] of responses) {
    const { auth, verifier, warnings } = start(t, { fetch: async () => respond() });
    await t.rejects(
      verifier.verify(auth.token()),
      { name: 'VerifierUnavailableError', code: 'keys_unavailable' },
      name,
    );
    t.equal(warnings.length, 1);
  }
});

t.test('the token of an ended session is rejected at once', async t => {
  const auth = createTestIssuer();
  const { verifier, warnings } = start(t, { auth, client: auth.client });
  const [{ token }, other] = [auth.signIn('ada'), auth.signIn('ada')];
  const { sid } = await verifier.verify(token);
  auth.endSession(sid);
  const at = performance.now();
  await until(async () => !(await accepts(verifier, token)), 'the end of the session');
  t.ok(performance.now() - at < 1000);
  await t.rejects(verifier.verify(token), { code: 'ended_session' });
  t.ok(await accepts(verifier, other.token), 'the other one lives');
  t.same(warnings, []);
});

t.test('a verifier that starts later knows the sessions that ended before', async t => {
  const auth = createTestIssuer();
  auth.endSession(sessionId(1));
  const token = auth.token({ sid: sessionId(1) });
  const { verifier } = start(t, { auth, client: auth.client });
  await t.rejects(verifier.verify(token), { code: 'ended_session' }, 'the first page is awaited');
});

t.test('new and removed keys are known at once', async t => {
  const auth = createTestIssuer();
  const { verifier, count } = start(t, { auth, client: auth.client });
  const { token: old } = auth.signIn('ada');
  await verifier.verify(old);
  auth.rotateKeys();
  await until(() => count('/.well-known/jwks.json') === 2, 'the new key');
  t.ok(await accepts(verifier, old));
  t.ok(await accepts(verifier, auth.signIn('ada').token));
  await sleep(1000);
  auth.rotateKeys({ distrust: true });
  await until(async () => !(await accepts(verifier, old)), 'the distrust of the old keys');
  t.ok(await accepts(verifier, auth.signIn('ada').token));
  await until(() => count('/oauth/token') >= 2, 'a new token for the feed, as the old one was signed with an old key');
});

t.test('a set of keys that differs from the announced ones is not fetched in a loop', async t => {
  const auth = createTestIssuer();
  let cursor = 0;
  const fetch = meddle(auth, path =>
    path === '/auth/revocations'
      ? Response.json({
          cursor: `${++cursor}`,
          revoked: [{ sid: sessionId(cursor), exp: now() + 60 }],
          keys: ['other'],
        })
      : undefined,
  );
  const { verifier, count } = start(t, { auth, client: auth.client, fetch });
  const { token } = auth.signIn('ada');
  for (let i = 0; i < 30; i++) {
    t.ok(await accepts(verifier, token));
    await sleep(100);
  }
  t.ok(count('/.well-known/jwks.json') <= 3, `${count('/.well-known/jwks.json')}`);
  t.ok(count('/auth/revocations') > 5);
});

t.test('a token of a key that is announced, but not in the set yet, makes the verifier unavailable', async t => {
  const auth = createTestIssuer();
  let lagging = false;
  let before: Promise<Response> | undefined;
  const fetch: Fetch = async (url, init) => {
    if (!url.endsWith('jwks.json')) return auth.fetch(url, init);
    before ??= auth.fetch(url, init);
    return lagging ? (await before).clone() : auth.fetch(url, init);
  };
  const { verifier, count } = start(t, { auth, client: auth.client, fetch });
  await verifier.verify(auth.signIn('ada').token);
  lagging = true;
  auth.rotateKeys();
  await until(() => count('/.well-known/jwks.json') >= 2, 'the announcement');
  const { token } = auth.signIn('ada');
  await t.rejects(verifier.verify(token), { code: 'keys_unavailable' });
  await t.rejects(verifier.verify(createTestIssuer().token()), { code: 'invalid_token' });
  lagging = false;
  await until(() => accepts(verifier, token), 'the new key');
  t.ok(count('/.well-known/jwks.json') <= 6);
});

t.test('onStale decides whether a user passes while the feed is stale', async t => {
  for (const onStale of ['open', 'closed'] as const) {
    const auth = createTestIssuer();
    let online = true;
    const { verifier, warnings } = start(t, {
      ...{ auth, client: auth.client, maxStalenessMs: 600, onStale, timeoutMs: 300 },
      fetch: (url, init) => (online ? auth.fetch(url, init) : Promise.reject(new TypeError('fetch failed'))),
    });
    const { token } = auth.signIn('ada');
    for (let i = 0; i < 15; i++) {
      t.ok(await accepts(verifier, token), 'while it is fresh');
      await sleep(100);
    }
    t.same(warnings, []);
    online = false;
    t.ok(await accepts(verifier, token), 'for a while');
    await sleep(1000);
    if (onStale === 'open') t.ok(await accepts(verifier, token));
    else await t.rejects(verifier.verify(token), { name: 'VerifierUnavailableError', code: 'stale_revocations' });
    await accepts(verifier, token);
    t.same(warnings.map(error => (error as { code: string }).code).sort(), ['network_error', 'stale_revocations']);
    online = true;
    await until(() => accepts(verifier, token), 'recovery');
  }
});

t.test('the first verification waits for the feed, but not for ever', async t => {
  for (const onStale of ['open', 'closed'] as const) {
    const auth = createTestIssuer();
    const fetch: Fetch = (url, init) => (url.includes('jwks') ? auth.fetch(url, init) : hang(url, init));
    const { verifier } = start(t, { auth, client: auth.client, fetch, timeoutMs: 300, onStale });
    const { token } = auth.signIn('ada');
    const keepAlive = setTimeout(() => undefined, 10_000);
    const at = performance.now();
    t.equal(await accepts(verifier, token), onStale === 'open');
    t.ok(performance.now() - at >= 250);
    const again = performance.now();
    await accepts(verifier, token);
    t.ok(performance.now() - again < 100, 'and only once');
    clearTimeout(keepAlive);
  }
});

t.test(
  'a feed that is invalid, refuses, floods or repeats itself is read again after a pause, and reported once',
  async t => {
    const page = { cursor: 'same', revoked: [{ sid: sessionId(0), exp: now() + 600 }], keys: [] };
    const responses: [name: string, respond: () => Response, code: string][] = [
      ['garbage', () => Response.json({ cursor: 5 }), 'unexpected_answer'],
      ['half a session', () => Response.json({ ...page, revoked: [], packed: 'AAAA' }), 'unexpected_answer'],
      ['a page', () => new Response('<html>'), 'unexpected_answer'],
      ['a refusal', () => problem(403, 'insufficient_scope'), 'insufficient_scope'],
      ['an odd token', () => problem(401, 'invalid_token'), 'invalid_token'],
      ['a stale replica', () => problem(503, 'service_unavailable', { 'retry-after': '0' }), 'service_unavailable'],
      [
        'a flood',
        () => new Response(' '.repeat(17e6), { headers: { 'content-type': 'application/json' } }),
        'unexpected_answer',
      ],
      ['the same page, with more behind it', () => Response.json({ ...page, more: true }), 'unexpected_answer'],
      ['the same page', () => Response.json(page), 'unexpected_answer'],
      [
        'an empty page, with more behind it',
        () => Response.json({ ...page, revoked: [], more: true }),
        'unexpected_answer',
      ],
    ];
    await Promise.all(
      responses.map(async ([name, respond, code]) => {
        const auth = createTestIssuer();
        let broken = true;
        const fetch = meddle(auth, path => (path === '/auth/revocations' && broken ? respond() : undefined));
        const { verifier, count, warnings } = start(t, { auth, client: auth.client, fetch, timeoutMs: 500 });
        await sleep(2000);
        const asked = count('/auth/revocations');
        // A refused token is followed by another at once.
        const most = name === 'an odd token' ? 12 : 6;
        t.ok(asked >= 2 && asked <= most, `${name}: ${asked}`);
        t.match(warnings, [{ code }], name);
        t.equal(warnings.length, 1, name);
        broken = false;
        auth.endSession(sessionId(1));
        await until(async () => !(await accepts(verifier, auth.token({ sid: sessionId(1) }))), `${name}: recovery`);
      }),
    );
  },
);

t.test('a feed that does not wait is not read in a loop', async t => {
  const auth = createTestIssuer();
  const empty = () => Response.json({ cursor: '1', revoked: [], keys: [] });
  const { count } = start(t, {
    auth,
    client: auth.client,
    fetch: meddle(auth, path => (path === '/auth/revocations' ? empty() : undefined)),
  });
  await sleep(2000);
  t.ok(count('/auth/revocations') <= 6);
});

t.test('a short outage is not reported: services start in any order', async t => {
  const auth = createTestIssuer();
  let online = false;
  const fetch: Fetch = (url, init) => (online ? auth.fetch(url, init) : Promise.reject(new TypeError('fetch failed')));
  const { verifier, warnings, count } = start(t, { auth, client: auth.client, fetch });
  await until(() => count('/oauth/token') >= 3, 'the third try');
  online = true;
  t.ok(await accepts(verifier, auth.signIn('ada').token));
  t.same(warnings, []);
});

t.test('a cursor that the service rejects is dropped', async t => {
  const auth = createTestIssuer();
  let forget = false;
  const fetch: Fetch = async (url, init) => {
    if (forget && url.includes('after=')) return problem(400, 'invalid_request');
    return auth.fetch(url, init);
  };
  const { verifier, count } = start(t, { auth, client: auth.client, fetch, maxStalenessMs: 3000 });
  await until(() => count('/auth/revocations') >= 2, 'the second request');
  forget = true;
  auth.endSession(sessionId(1));
  await until(async () => !(await accepts(verifier, auth.token({ sid: sessionId(1) }))), 'the revocation');
  forget = false;
  auth.endSession(sessionId(2));
  await until(async () => !(await accepts(verifier, auth.token({ sid: sessionId(2) }))), 'the next revocation');
});

t.test('a client that is refused is reported at once, and delays no verification', async t => {
  const refused: [code: string, client: (auth: TestIssuer) => ServiceCredentials, message: RegExp][] = [
    ['invalid_client', auth => ({ ...auth.client, secret: 'wrong' }), /"test-service".*another secret/],
    ['invalid_client', () => ({ id: 'nobody', secret: 'x' }), /does not know/],
    [
      'invalid_scope',
      auth => auth.addClient('billing', ['jobs:read']),
      /"billing" does not have the scope revocations:read/,
    ],
  ];
  for (const [code, client, message] of refused) {
    const auth = createTestIssuer();
    const at = performance.now();
    const { verifier, warnings, count } = start(t, { auth, client: client(auth), timeoutMs: 20_000 });
    t.ok(await accepts(verifier, auth.signIn('ada').token), 'by the choice for what is stale');
    await t.rejects(verifier.ready(), { name: 'VerifierConfigurationError', code, message, cause: { code } });
    t.ok(performance.now() - at < 10_000, 'without waiting for what does not come');
    await until(() => count('/oauth/token') >= 3, 'the third try');
    const reported = warnings.filter(error => (error as { code: string }).code === code);
    t.match(reported, [{ name: 'VerifierConfigurationError', message }]);
    t.equal(reported.length, 1, 'once');
    t.notMatch(JSON.stringify(reported), /"wrong"/);
  }
  const auth = createTestIssuer();
  const refuse = () => problem(403, 'insufficient_scope');
  const fetch = meddle(auth, path => (path === '/auth/revocations' ? refuse() : undefined));
  const { verifier } = start(t, { auth, client: auth.client, fetch, onStale: 'closed' });
  await t.rejects(verifier.ready(), { code: 'insufficient_scope' });
  await t.rejects(verifier.verify(auth.signIn('ada').token), { code: 'stale_revocations' });
});

t.test('a client that is made later is accepted then', async t => {
  const auth = createTestIssuer();
  let isThere = false;
  const fetch = meddle(auth, path => (isThere || path !== '/oauth/token' ? undefined : problem(401, 'invalid_client')));
  const { verifier } = start(t, { auth, client: auth.client, fetch });
  await t.rejects(verifier.ready(), { code: 'invalid_client' });
  isThere = true;
  auth.endSession(sessionId(1));
  await until(async () => !(await accepts(verifier, auth.token({ sid: sessionId(1) }))), 'the revocation');
  await verifier.ready();
});

t.test('ready() resolves when the auth-service is unavailable or slow', async t => {
  const auth = createTestIssuer();
  const { verifier } = start(t, { auth });
  await verifier.ready();
  for (const fetch of [() => Promise.reject(new TypeError('fetch failed')), hang] as Fetch[]) {
    const { verifier } = start(t, { auth, client: auth.client, fetch, timeoutMs: 300 });
    await verifier.ready();
  }
});

t.test('a token of another issuer or audience is reported once, with both values', async t => {
  const auth = createTestIssuer();
  const elsewhere = start(t, { auth, issuer: 'https://auth.example.com', baseUrl: auth.issuer });
  const foreign = start(t, { auth, audience: 'billing' });
  const { token } = auth.signIn('ada');
  const [issuer, audience] = [
    'The token has the issuer "http://auth.test"; "https://auth.example.com" is expected.',
    'The token has the audience "latchkey"; "billing" is expected.',
  ];
  for (const [{ verifier, warnings }, message] of [
    [elsewhere, issuer],
    [foreign, audience],
  ] as const) {
    for (let i = 0; i < 3; i++) await t.rejects(verifier.verify(token), { code: 'invalid_token', message });
    await t.rejects(verifier.verify(`${token.slice(0, -8)}AAAAAAAA`), { code: 'invalid_token' });
    t.match(warnings, [{ code: 'invalid_token', message }]);
    t.equal(warnings.length, 1, 'once');
    t.notMatch(JSON.stringify(warnings), token.split('.')[2] as string);
  }
  const long = auth.token({ aud: 'x'.repeat(4000) });
  const error = await foreign.verifier.verify(long).catch(cause => cause as Error);
  t.ok(error instanceof Error && error.message.length < 300);
});

t.test('the secret of the client may change', async t => {
  const auth = createTestIssuer();
  const credentials: ServiceCredentials = { ...auth.client };
  const { verifier, warnings } = start(t, { auth, client: { ...credentials, secret: 'wrong' } });
  await until(() => warnings.length > 0, 'a warning');
  t.match(warnings, [{ code: 'invalid_client' }]);
  t.ok(await accepts(verifier, auth.signIn('ada').token), 'and it goes on');
});

t.test('an entry outlives the tokens that it ends, also when the clock is set back', async t => {
  const auth = createTestIssuer({ accessTokenTtlS: 2 });
  const { verifier } = start(t, { auth, client: auth.client });
  const token = auth.token({ sid: sessionId(1) });
  auth.endSession(sessionId(1));
  await until(async () => !(await accepts(verifier, token)), 'the revocation');
  const real = Date.now;
  t.teardown(() => {
    Date.now = real;
  });
  Date.now = () => real() + 30_000;
  auth.endSession(sessionId(2));
  await sleep(100);
  Date.now = real;
  await t.rejects(verifier.verify(token), { code: 'ended_session' });
});

t.test('close ends it at once, also in the middle of something', async t => {
  const auth = createTestIssuer();
  const url = await auth.listen();
  const { verifier, count } = start(t, {
    auth,
    baseUrl: url,
    client: auth.client,
    fetch: (url, init) => fetch(url, init),
  });
  const { token } = auth.signIn('ada');
  t.ok(await accepts(verifier, token));
  await until(() => count('/auth/revocations') >= 2, 'the long poll');
  verifier.close();
  verifier.close();
  await sleep(100);
  const asked = count('/auth/revocations');
  auth.endSession(randomUUID());
  await sleep(300);
  t.equal(count('/auth/revocations'), asked);
  t.ok(await accepts(verifier, token), 'what is known goes on being known');

  const early = start(t, { auth, baseUrl: url, client: auth.client, fetch: (url, init) => fetch(url, init) });
  const pending = early.verifier.verify(token);
  early.verifier.close();
  await t.rejects(pending, { code: 'keys_unavailable' });
  t.same(early.warnings, []);
});

t.test('invalid options are refused', async t => {
  const options = { issuer: 'http://auth.test', audience: 'latchkey' };
  t.throws(() => createVerifier({ ...options, maxStalenessMs: 5 }), { name: 'TypeError', message: /need client/ });
  t.throws(() => createVerifier({ ...options, onStale: 'closed' }), { name: 'TypeError', message: /need client/ });
  t.throws(() => createVerifier({ ...options, issuer: 'latchkey' }), TypeError);
  t.throws(() => createVerifier({ ...options, baseUrl: 'ftp://auth' }), TypeError);
  const odd: [given: object, message: RegExp][] = [
    [{ client: undefined }, /client must have the id and the secret .* leave the option out/],
    [{ client: null }, /client must have/],
    [{ client: {} }, /client.id is missing or empty/],
    [{ client: { id: '', secret: 'x' } }, /client.id is missing or empty/],
    [{ client: { id: 'x' } }, /client.secret is missing or empty/],
    [{ client: { id: 'x', secret: undefined } }, /client.secret is missing or empty/],
    [{ issuer: undefined }, /issuer is missing or empty/],
    [{ audience: undefined }, /audience is missing or empty/],
  ];
  for (const [given, message] of odd) {
    const make = () => createVerifier({ ...options, ...given } as VerifierOptions);
    t.throws(make, { name: 'TypeError', message }, JSON.stringify(given));
  }
});

t.test('a callback that throws does not stop it', async t => {
  const auth = createTestIssuer();
  const thrown: unknown[] = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', error => thrown.push(error));
  t.teardown(() => {
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
  });
  let broken = true;
  const { verifier } = start(t, {
    ...{ auth, client: auth.client, timeoutMs: 300 },
    fetch: meddle(auth, path => (path === '/auth/revocations' && broken ? problem(500, 'internal_error') : undefined)),
    onWarning: () => {
      throw new Error('canary');
    },
  });
  await until(() => thrown.length > 0, 'the error');
  broken = false;
  auth.endSession(sessionId(1));
  await until(async () => !(await accepts(verifier, auth.token({ sid: sessionId(1) }))), 'the revocation');
});
