import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import fc from 'fast-check';
import t from 'tap';
import { openKey } from '#src/keys/signing-key.js';
import { listKeys } from '#src/keys/stored-keys.js';
import { createTokenCache } from '#src/tokens/token-cache.js';
import { get, newCredentials, post, type Service, segment, startService } from './helper.js';

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

t.test('no forgery of a valid token passes', async t => {
  const service = await startService(t);
  const { base, config, app } = service;
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  const { body: other } = await post(`${base}/auth/sign-up`, newCredentials());
  const { body: jwks } = await get(`${base}/.well-known/jwks.json`);
  const valid: string = body.token;
  const [header, payload, signature] = valid.split('.') as [string, string, string];
  const claims = segment(valid, 1);
  const { kid } = segment(valid, 0);
  const [stored] = await listKeys(app.pg);
  const own = createPrivateKey(openKey(stored as never, config.authSecrets));
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const strangerJwk = stranger.publicKey.export({ format: 'jwk' });

  const make = (head: object, body: object = claims, key: KeyObject = own) => {
    const input = `${encode({ alg: 'ES256', typ: 'at+jwt', kid, ...head })}.${encode(body)}`;
    const mac = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
    return `${input}.${mac.toString('base64url')}`;
  };
  t.equal((await get(`${base}/auth/verify`, make({}))).status, 200, 'the forger’s tools work');
  const hs256 = (secret: string | Buffer) => {
    const input = `${encode({ alg: 'HS256', typ: 'at+jwt', kid })}.${payload}`;
    return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
  };
  const pem = createPublicKey({ key: jwks.keys[0], format: 'jwk' }).export({ format: 'pem', type: 'spki' }) as string;

  const forged: Record<string, string> = {
    'no signature': `${header}.${payload}.`,
    'two segments': `${header}.${payload}`,
    'four segments': `${valid}.${signature}`,
    'another payload': `${header}.${encode({ ...claims, id: other.user.id })}.${signature}`,
    'another signature': `${header}.${payload}.${other.token.split('.')[2]}`,
    'a signature of zeros': `${header}.${payload}.${Buffer.alloc(64).toString('base64url')}`,
    'a DER signature': `${header}.${payload}.${sign('sha256', Buffer.from(`${header}.${payload}`), own).toString('base64url')}`,
    'HS256 keyed with the JWK': hs256(JSON.stringify(jwks.keys[0])),
    'HS256 keyed with the PEM': hs256(pem),
    'HS256 keyed with the PEM, trimmed': hs256(pem.trim()),
    'HS256 keyed with the PEM, in one line': hs256(pem.replaceAll('\n', '')),
    'HS256 keyed with the PEM, with CRLF': hs256(pem.replaceAll('\n', '\r\n')),
    'HS256 keyed with nothing': hs256(''),
    'a stranger’s key under our kid': make({}, claims, stranger.privateKey),
    'a foreign kid': make({ kid: 'foreign' }),
    'a kid that is a path': make({ kid: '../../dev/null' }),
    'a kid that is SQL': make({ kid: "' OR 1=1 --" }),
    'no kid': make({ kid: undefined }),
    'its own key': make({ jwk: strangerJwk }, claims, stranger.privateKey),
    'a key URL': make({ jku: 'https://evil.example.com/jwks.json' }, claims, stranger.privateKey),
    'a certificate URL': make({ x5u: 'https://evil.example.com/x5u' }, claims, stranger.privateKey),
    'a critical extension': make({ crit: ['exp'] }),
    'an unencoded payload': make({ b64: false, crit: ['b64'] }),
    'typ JWT': make({ typ: 'JWT' }),
    'a list as typ': make({ typ: ['at+jwt'] }),
    'no typ': make({ typ: undefined }),
    'another issuer': make({}, { ...claims, iss: 'https://evil.example.com' }),
    'a list of issuers': make({}, { ...claims, iss: [claims.iss] }),
    'another audience': make({}, { ...claims, aud: 'billing' }),
    'no audience': make({}, { ...claims, aud: undefined }),
    'no subject': make({}, { ...claims, sub: undefined }),
    expired: make({}, { ...claims, iat: 1, exp: 2 }),
    'expiry as text': make({}, { ...claims, exp: String(claims.exp) }),
    'no expiry': make({}, { ...claims, exp: undefined }),
    'negative expiry': make({}, { ...claims, exp: -1 }),
    'not valid yet': make({}, { ...claims, nbf: claims.exp }),
    'another spelling of the header': `${encode({ typ: 'at+jwt', alg: 'ES256', kid })}.${payload}.${signature}`,
    'white space': `${header}.${payload} .${signature}`,
    padding: `${valid}=`,
    ...Object.fromEntries(
      ['none', 'None', 'NONE', 'nOnE', 'none ', ''].map(alg => [
        `alg "${alg}"`,
        `${encode({ alg, typ: 'at+jwt', kid })}.${payload}.`,
      ]),
    ),
  };
  for (const [name, token] of Object.entries(forged)) {
    for (const path of ['/auth/verify', '/auth/me']) {
      const answer = await get(base + path, token);
      t.equal(answer.status, 401, name);
      t.equal(answer.body.code, 'invalid_token', name);
    }
  }
  t.equal((await get(`${base}/auth/verify`, valid)).status, 200);
});

t.test('a token lives by the database’s clock, and no longer than its session', async t => {
  const service = await startService(t, { refreshTokenTtlS: 100 });
  const { body } = await post(`${service.base}/auth/sign-up`, newCredentials());
  t.equal(body.expiresIn, 100);
  const { iat, exp, sid } = segment(body.token, 1);
  t.equal(exp - iat, 100);
  const { rows } = await service.sql(
    'SELECT floor(extract(epoch FROM token_expires_at))::int AS exp FROM auth.sessions WHERE id = $1',
    [sid],
  );
  t.equal(rows[0].exp, exp);
});

t.test('no mutation of a valid token passes', async t => {
  const { base, app } = await startService(t, { logLevel: 'silent' });
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  const valid: string = body.token;
  const characters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/'];
  const mutation = fc.tuple(fc.nat(valid.length - 1), fc.constantFrom(...characters), fc.nat(2));
  const verify = async (token: string) => {
    return (await app.inject({ url: '/auth/verify', headers: { authorization: `Bearer ${token}` } })).statusCode;
  };
  await fc.assert(
    fc.asyncProperty(mutation, async ([at, character, kind]) => {
      const mutated = valid.slice(0, at) + (kind === 1 ? '' : character) + valid.slice(kind === 2 ? at : at + 1);
      return mutated === valid || (await verify(mutated)) === 401;
    }),
    { numRuns: 3000, examples: characters.map(last => [[valid.length - 1, last, 0]]) },
  );
});

t.test('a token is accepted until it expires', async t => {
  const { base } = await startService(t, { accessTokenTtlS: 1 });
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  t.equal((await get(`${base}/auth/verify`, body.token)).status, 200);
  await new Promise(resolve => setTimeout(resolve, 2100));
  t.equal((await get(`${base}/auth/verify`, body.token)).status, 401, 'also when it was cached');
});

t.test('one token is one entry of the cache, however it is sent, and garbage is none', async t => {
  const { base, app } = await startService(t, { logLevel: 'silent' });
  const [ada, bob] = [
    (await post(`${base}/auth/sign-up`, newCredentials())).body.token,
    (await post(`${base}/auth/sign-up`, newCredentials())).body.token,
  ];
  let checks = 0;
  const { verify } = app.signingKeys;
  app.signingKeys.verify = token => {
    checks++;
    return verify(token);
  };
  const ask = async (authorization: string) =>
    (await fetch(`${base}/auth/verify`, { headers: { authorization } })).status;
  t.equal(await ask(`Bearer ${ada}`), 200);
  t.equal(checks, 1);

  const schemes = ['Bearer', 'bearer', 'BEARER', 'bEaReR'];
  for (let i = 0; i < 1200; i += 40) {
    const spellings = Array.from({ length: 40 }, (_, n) => `${schemes[n % 4]}${' '.repeat(1 + i + n)}${bob}`);
    for (const status of await Promise.all(spellings.map(ask))) t.equal(status, 200);
  }
  t.equal(checks, 2, 'every spelling of a token is one entry');
  for (let i = 0; i < 1200; i += 40) {
    const garbage = Array.from(
      { length: 40 },
      (_, n) => `Bearer ${bob.slice(0, -8)}${String(i + n).padStart(7, '0')}A`,
    );
    for (const status of await Promise.all(garbage.map(ask))) t.equal(status, 401);
  }
  t.equal(checks, 1202);
  t.equal(await ask(`Bearer ${ada}`), 200);
  t.equal(checks, 1202, 'the others are still there');
});

t.test('the cache of tokens is bounded, in number and in bytes', async t => {
  let checks = 0;
  const exp = Math.floor(Date.now() / 1000) + 600;
  const cache = createTokenCache(() => {
    checks++;
    return { exp } as never;
  });
  const isKept = (token: string) => {
    const before = checks;
    cache.find(`Bearer ${token}`);
    return checks === before;
  };
  const fill = (count: number, length: number) => {
    const tokens = Array.from({ length: count }, (_, i) => String(i).padStart(length, 'x'));
    for (const token of tokens) cache.find(`Bearer ${token}`);
    return tokens.toReversed().filter(isKept).length;
  };
  t.equal(fill(1000, 600), 1000, 'a thousand tokens as they are');
  cache.clear();
  const kept = fill(900, 8192);
  t.ok(kept > 0 && kept * 8192 <= 2 * 1024 * 1024, `${kept} of the largest`);
  cache.clear();
  t.equal(fill(200, 8192), 200, 'clearing it gives the room back');
});

t.test('a check that is answered before Fastify is answered as its route answers it', async t => {
  const service = await startService(t, { trustProxy: ['127.0.0.1'] });
  const { body } = await post(`${service.base}/auth/sign-up`, newCredentials());
  // With a query, the route answers.
  const [first, early, route] = [
    await ask(service, '/auth/verify', [`Bearer ${body.token}`]),
    await ask(service, '/auth/verify', [`Bearer ${body.token}`]),
    await ask(service, '/auth/verify?acr=aal1', [`Bearer ${body.token}`]),
  ];
  const shapeOf = ({ status, rawHeaders, text }: Awaited<ReturnType<typeof ask>>) => ({
    ...{ status, text },
    fields: rawHeaders.map((field, i) => (/^(date|x-request-id)$/i.test(rawHeaders[i - 1] ?? '') ? '' : field)),
  });
  t.same(shapeOf(early), shapeOf(route));
  t.same(shapeOf(first), shapeOf(route));
  const idOf = ({ rawHeaders }: { rawHeaders: string[] }) => rawHeaders[rawHeaders.indexOf('x-request-id') + 1];
  t.equal(new Set([first, early, route].map(idOf)).size, 3, 'each request has an id of its own');

  const sent = await ask(service, '/auth/verify', [`Bearer ${body.token}`], { 'x-request-id': 'of-the-gateway' });
  t.equal(idOf(sent), 'of-the-gateway', 'or that of a trusted proxy');
  const refusals = [
    await ask(service, '/auth/verify', []),
    await ask(service, '/auth/verify', [`Bearer ${body.token}x`]),
    await ask(service, '/auth/verify', ['Bearer x', `Bearer ${body.token}`]),
  ];
  t.same(
    refusals.map(({ status }) => status),
    [401, 401, 401],
  );

  // Replaced, the responder shows which requests it gets.
  service.app.respondEarly('/auth/verify', (_, response) => {
    response.writeHead(218).end();
    return 218;
  });
  t.equal((await ask(service, '/auth/verify', [`Bearer ${body.token}`])).status, 218);
  t.equal((await ask(service, '/auth/verify?acr=aal1', [`Bearer ${body.token}`])).status, 200);
  service.app.startDraining();
  const last = await ask(service, '/auth/verify', [`Bearer ${body.token}`]);
  t.same([last.status, last.headers.connection], [200, 'close'], 'a service that closes ends the connection');
});

t.test('a token that is known and whose session ends is refused', async t => {
  const { base } = await startService(t);
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  t.same(
    [(await get(`${base}/auth/verify`, body.token)).status, (await get(`${base}/auth/verify`, body.token)).status],
    [200, 200],
  );
  await post(`${base}/auth/sign-out`, {}, { authorization: `Bearer ${body.token}` });
  t.equal((await get(`${base}/auth/verify`, body.token)).status, 401);
});

/** Sends a GET with any number of Authorization fields. */
async function ask({ base }: Service, path: string, authorization: string[], headers: Record<string, string> = {}) {
  const request = httpRequest(`${base}${path}`, {
    headers: { ...headers, authorization } as Record<string, string | string[]>,
  });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, headers: response.headers, rawHeaders: response.rawHeaders, text };
}
