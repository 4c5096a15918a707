import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { get, newCredentials, post, segment, startService } from './helper.js';

t.test('no forgery of a valid token passes', async t => {
  const { base, app } = await startService(t);
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  const { body: other } = await post(`${base}/auth/sign-up`, newCredentials());
  const { body: jwks } = await get(`${base}/.well-known/jwks.json`);
  const valid: string = body.token;
  const [header, payload, signature] = valid.split('.') as [string, string, string];
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = segment(valid, 1);
  const hs256 = `${encode({ ...segment(valid, 0), alg: 'HS256' })}.${payload}`;
  const resign = (options: object) => app.jwt.sign(claims, options as never);

  const forged: Record<string, string> = {
    'no signature': `${header}.${payload}.`,
    'another payload': `${header}.${encode({ ...claims, id: other.user.id })}.${signature}`,
    'another signature': `${header}.${payload}.${other.token.split('.')[2]}`,
    none: `${encode({ alg: 'none', typ: 'at+jwt' })}.${payload}.`,
    'HS256 keyed with the public key': `${hs256}.${createHmac('sha256', JSON.stringify(jwks.keys[0])).update(hs256).digest('base64url')}`,
    'another issuer': resign({ iss: 'https://evil.example.com' }),
    'another audience': resign({ aud: 'billing' }),
    'typ JWT': resign({ header: { alg: 'ES256', typ: 'JWT' } }),
    expired: app.jwt.sign({ ...claims, iat: 1, exp: 2 } as never),
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
