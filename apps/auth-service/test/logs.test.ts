import t from 'tap';
import { call, get, newCredentials, post, startService } from './helper.js';

t.test('no password, token or body reaches the log or an error', async t => {
  const { base, logs, sql } = await startService(t, { logLevel: 'trace' });
  const canary = 'canary-4f1c';
  const { username } = newCredentials();
  const answers = [
    await post(`${base}/auth/sign-up`, { username, password: `${canary}-password` }),
    await post(`${base}/auth/sign-in`, { username, password: `${canary}-wrong` }),
    await post(`${base}/auth/sign-up`, `{"username":"${username}","password":"${canary}" oops`),
    await post(`${base}/auth/sign-up`, `{"password":"${canary}","password":"${canary}"}`),
    await post(`${base}/auth/sign-up`, { username, password: { nested: canary } }),
    await post(`${base}/auth/sign-up?password=${canary}`, {}),
    await get(`${base}/auth/me`, `${canary}.${canary}.${canary}`),
    await call(`${base}/auth/me`, { headers: { authorization: `Basic ${canary}`, cookie: canary } }),
  ];
  const { token } = answers[0]?.body ?? {};
  await get(`${base}/auth/me`, token);
  await sql('ALTER TABLE auth.users RENAME TO gone');
  const failed = await post(`${base}/auth/sign-in`, { username, password: `${canary}-password` });
  t.equal(failed.status, 500);
  t.match(failed.body, { code: 'internal_error' });
  t.notMatch(failed.text, /gone|relation/, 'the cause is for the log');

  const log = logs.join('');
  t.match(log, /relation .*does not exist/);
  t.notMatch(log, new RegExp(canary));
  t.notMatch(log, token.split('.')[2]);
  for (const { text } of answers.slice(1)) t.notMatch(text, new RegExp(canary));
});

t.test('what machines ask all the time is not logged', async t => {
  const { base, logs } = await startService(t);
  for (const path of ['/livez', '/readyz', '/.well-known/jwks.json', '/auth/verify']) await get(base + path);
  t.notMatch(logs.join(''), /"path"/);
  await get(`${base}/auth/me`);
  t.match(logs.join(''), /"path":"\/auth\/me"/);
});

t.test('a request id comes from the gateway when it is trusted, and from nobody else', async t => {
  const trusting = await startService(t, { trustProxy: ['127.0.0.0/8'] });
  const wary = await startService(t, { trustProxy: ['10.0.0.0/8'] });
  const headers = { 'x-request-id': 'from-the-gateway', 'x-forwarded-for': '203.0.113.9' };

  const trusted = await call(`${trusting.base}/auth/me`, { headers });
  t.equal(trusted.headers.get('x-request-id'), 'from-the-gateway');
  t.equal(trusted.body.requestId, 'from-the-gateway');
  t.match(trusting.logs.join(''), /"reqId":"from-the-gateway".*"remoteAddress":"203.0.113.9"/);

  const untrusted = await call(`${wary.base}/auth/me`, { headers });
  t.match(untrusted.headers.get('x-request-id'), /^[0-9a-f-]{36}$/);
  t.notMatch(wary.logs.join(''), /from-the-gateway|203\.0\.113\.9/);

  const odd = await call(`${trusting.base}/auth/me`, { headers: { 'x-request-id': '"},{"forged":"' } });
  t.match(odd.headers.get('x-request-id'), /^[0-9a-f-]{36}$/);
});
