import { createTestIssuer } from '@latchkey/auth-client/testing';
import { startAuthService } from '@latchkey/auth-client/testing/service';
import t from 'tap';
import { buildApp } from '#src/app.js';
import { loadConfig } from '#src/config.js';

const greet = { method: 'GET', url: '/sample/greeting' } as const;
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

t.test('who is signed in is greeted, and nobody else', async t => {
  const auth = createTestIssuer();
  const { issuer, audience, client, fetch } = auth;
  const settings = { authIssuer: issuer, authUrl: issuer, tokenAudience: audience, authClient: client };
  const app = await buildApp({ ...settings, logLevel: 'silent', fetch });
  t.teardown(() => app.close());

  const { token } = auth.signIn('ada');
  const greeted = await app.inject({ ...greet, headers: bearer(token) });
  t.equal(greeted.statusCode, 200);
  t.same(greeted.json(), { message: 'Hello ada' });

  const refused = await app.inject(greet);
  t.equal(refused.statusCode, 401);
  t.match(refused.json(), { code: 'missing_token' });
  t.equal((await app.inject({ ...greet, headers: bearer(auth.serviceToken('any')) })).statusCode, 401);
});

t.test('pages of the allowed origins may call it', async t => {
  const auth = createTestIssuer();
  const { issuer, audience, fetch } = auth;
  const corsOrigins = ['https://app.example.com'];
  const settings = { authIssuer: issuer, authUrl: issuer, tokenAudience: audience, corsOrigins };
  const app = await buildApp({ ...settings, logLevel: 'silent', fetch });
  t.teardown(() => app.close());
  const allowedFor = async (origin: string) => {
    const headers = { ...bearer(auth.signIn('ada').token), origin };
    return (await app.inject({ ...greet, headers })).headers['access-control-allow-origin'];
  };
  t.equal(await allowedFor('https://app.example.com'), 'https://app.example.com');
  t.equal(await allowedFor('https://evil.example'), undefined);
});

t.test('tokens of the real auth-service are accepted', async t => {
  const { auth, audience, issuer, stop } = await startAuthService();
  t.teardown(stop);
  const app = await buildApp({ authIssuer: issuer, authUrl: issuer, tokenAudience: audience, logLevel: 'silent' });
  t.teardown(() => app.close());

  const { token } = await auth.signUp({ username: 'grace', password: 'open sesame 42' });
  t.same((await app.inject({ ...greet, headers: bearer(token) })).json(), { message: 'Hello grace' });
});

t.test('settings that are wrong are named', async t => {
  const development = { authUrl: 'http://localhost:3000', production: false, corsOrigins: ['http://localhost:*'] };
  t.match(loadConfig({}), development);
  t.throws(() => loadConfig({ NODE_ENV: 'production' }), /AUTH_URL is required in production/);
  t.throws(() => loadConfig({ AUTH_CLIENT_ID: 'sample' }), /go together/);
});
