import { connect } from 'node:net';
import t from 'tap';
import { type Answer, call, get, newCredentials, post, type Service, startService } from './helper.js';

const APP = 'https://app.example.com';
const OTHER = 'http://localhost:5173';
const FIXED = {
  'content-security-policy': "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'strict-transport-security': 'max-age=31536000',
};
const json = { 'content-type': 'application/json' };

/** Sends bytes as they are, and reads until the service hangs up. */
const raw = ({ base }: Service, text: string) =>
  new Promise<string>((resolve, reject) => {
    const socket = connect(Number(new URL(base).port), '127.0.0.1', () => socket.write(text, 'latin1'));
    let answer = '';
    socket.setEncoding('latin1').on('data', chunk => {
      answer += chunk;
    });
    socket.on('close', () => resolve(answer)).on('error', reject);
  });

const corsHeaders = ({ headers }: Answer) => [...headers.keys()].filter(name => name.startsWith('access-control-'));

/** Asks as a browser does before a request that is not a simple one. */
const preflight = ({ base }: Service, path: string, method: string, origin = APP) =>
  call(base + path, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': method,
      'access-control-request-headers': 'authorization,content-type',
      'sec-fetch-mode': 'cors',
    },
  });

t.test('every answer tells browsers to neither render, frame, sniff nor keep it', async t => {
  const service = await startService(t, { corsOrigins: [] });
  const { base } = service;
  const credentials = newCredentials();
  const { body } = await post(`${base}/auth/sign-up`, credentials);
  const answers: [name: string, status: number, answer: Promise<Answer>][] = [
    ['sign-in', 200, post(`${base}/auth/sign-in`, credentials)],
    ['a wrong password', 401, post(`${base}/auth/sign-in`, { ...credentials, password: 'wrong' })],
    ['bad JSON', 400, post(`${base}/auth/sign-in`, '{')],
    ['a body that is too large', 413, post(`${base}/auth/sign-in`, 'x'.repeat(20_000))],
    ['another type', 415, post(`${base}/auth/sign-in`, 'x', { 'content-type': 'text/plain' })],
    ['no token', 401, get(`${base}/auth/me`)],
    ['me', 200, get(`${base}/auth/me`, body.token)],
    ['a gateway’s refusal', 401, get(`${base}/auth/verify`)],
    ['nothing', 404, get(`${base}/nothing`)],
    ['another method', 405, get(`${base}/auth/sign-in`)],
    ['no URL', 400, get(`${base}/%`)],
    ['no client', 401, call(`${base}/oauth/token`, { method: 'POST', body: new URLSearchParams('grant_type=x') })],
    ['health', 200, get(`${base}/livez`)],
    ['the description', 200, get(`${base}/openapi.json`)],
    ['a redirect', 302, call(`${base}/docs/static/index.html`, { redirect: 'manual' })],
  ];
  for (const [name, status, asked] of answers) {
    const answer = await asked;
    t.equal(answer.status, status, name);
    const isPage = name === 'a redirect';
    for (const [header, value] of Object.entries(FIXED)) {
      if (!isPage || header !== 'content-security-policy')
        t.equal(answer.headers.get(header), value, `${name}: ${header}`);
    }
    t.equal(answer.headers.get('cache-control'), 'no-store', name);
    t.same(corsHeaders(answer), [], name);
    for (const header of ['server', 'x-powered-by', 'vary']) t.notOk(answer.headers.has(header), `${name}: ${header}`);
  }
  const noHttp = await raw(service, 'NONSENSE\r\n\r\n');
  for (const header of ['x-content-type-options: nosniff', 'cache-control: no-store', "default-src 'none'"]) {
    t.ok(noHttp.includes(header), header);
  }
  const verified = await get(`${base}/auth/verify`, body.token);
  t.match(verified, { status: 200, text: '' });
  t.equal(verified.headers.get('cache-control'), 'no-store', 'a gateway’s answer is not kept either');
});

t.test('HSTS is for who is behind TLS', async t => {
  const { base } = await startService(t, { publicUrl: 'http://localhost:3000' });
  t.notOk((await get(`${base}/livez`)).headers.has('strict-transport-security'));
});

t.test('what is public may be read and kept by everybody', async t => {
  const { base } = await startService(t);
  for (const name of ['jwks.json', 'oauth-authorization-server', 'openid-configuration']) {
    const path = `/.well-known/${name}`;
    const { headers } = await call(base + path, { headers: { origin: 'https://anybody.example' } });
    t.equal(headers.get('access-control-allow-origin'), '*', path);
    t.equal(headers.get('cross-origin-resource-policy'), 'cross-origin', path);
    t.equal(headers.get('cache-control'), 'public, max-age=300', path);
  }
});

t.test('the documentation works under its own policy', async t => {
  const { base } = await startService(t);
  const page = await get(`${base}/docs/`);
  const policy = page.headers.get('content-security-policy') ?? '';
  t.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;/);
  t.match(policy, /connect-src 'self' https:\/\/auth.example.com;/, 'it calls the service by its public URL');
  t.match(policy, /frame-ancestors 'none'/);
  t.notMatch(policy, /unsafe|\*/);
  // What the policy would block: scripts, styles and handlers within the page.
  t.notMatch(page.text, /<script(?![^>]*\ssrc=)[^>]*>|<style|\son\w+=|\sstyle=/i);
  const assets = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path as string);
  t.ok(assets.length >= 6);
  for (const path of assets) {
    const asset = await get(new URL(path, `${base}/docs/`).href);
    t.equal(asset.status, 200, path);
    t.equal(asset.headers.get('x-content-type-options'), 'nosniff', path);
    const type = { css: 'text/css', js: 'javascript', png: 'image/png' }[
      path.split('.').at(-1) as 'css' | 'js' | 'png'
    ];
    t.match(asset.headers.get('content-type'), type, path);
  }
});

t.test('a front end that is listed reads every answer, errors too', async t => {
  const service = await startService(t, { corsOrigins: [APP, OTHER] });
  const { base } = service;
  const as = (path: string, init: RequestInit = {}, origin = APP) =>
    call(base + path, { ...init, headers: { ...(init.headers as object), origin } });
  const credentials = newCredentials();
  const send = (body: unknown, headers = {}) => ({
    method: 'POST',
    headers: { ...json, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const { body } = await as('/auth/sign-up', send(credentials));
  const bearer = { authorization: `Bearer ${body.token}` };
  const answers: [status: number, answer: Promise<Answer>][] = [
    [200, as('/auth/sign-in', send(credentials))],
    [401, as('/auth/sign-in', send({ ...credentials, password: 'wrong' }))],
    [400, as('/auth/sign-in', send('{'))],
    [415, as('/auth/sign-in', send('x', { 'content-type': 'text/plain' }))],
    [409, as('/auth/sign-up', send(credentials))],
    [401, as('/auth/me')],
    [200, as('/auth/me', { headers: bearer })],
    [400, as('/auth/sessions/x', { method: 'DELETE', headers: bearer })],
    [404, as('/auth/nothing')],
    [405, as('/auth/sign-in')],
  ];
  for (const [status, asked] of answers) {
    const answer = await asked;
    t.equal(answer.status, status);
    t.equal(answer.headers.get('access-control-allow-origin'), APP, String(status));
    t.match(
      answer.headers.get('access-control-expose-headers'),
      /ratelimit.*retry-after.*www-authenticate.*x-request-id/,
    );
    t.equal(answer.headers.get('vary'), 'Origin', String(status));
    t.notOk(answer.headers.has('access-control-allow-credentials'), 'there are no cookies');
  }
  t.equal((await as('/auth/me', {}, OTHER)).headers.get('access-control-allow-origin'), OTHER, 'each by its own name');
  t.equal((await get(`${base}/auth/me`)).headers.get('vary'), 'Origin', 'also when nobody says where from');
});

t.test('a refusal for want of room or by the throttles can be read as well', async t => {
  const { throttle } = (await startService(t)).config;
  const throttled = { ...throttle, enabled: true, signUp: { quota: 1, windowS: 60 } };
  const { base } = await startService(t, { corsOrigins: [APP], throttle: throttled });
  const full = await startService(t, { corsOrigins: [APP], hashWorkers: 1, hashMaxWaitMs: 0, bcryptCost: 10 });
  await post(`${base}/auth/sign-up`, newCredentials(), { origin: APP });
  const refused = await post(`${base}/auth/sign-up`, newCredentials(), { origin: APP });
  const crowd = await Promise.all(
    Array.from({ length: 8 }, () => post(`${full.base}/auth/sign-in`, newCredentials(), { origin: APP })),
  );
  const overloaded = crowd.find(({ status }) => status === 503) as Answer;
  for (const [answer, status] of [
    [refused, 429],
    [overloaded, 503],
  ] as const) {
    t.equal(answer.status, status);
    t.ok(answer.headers.has('retry-after'));
    t.equal(answer.headers.get('access-control-allow-origin'), APP);
    t.match(answer.headers.get('access-control-expose-headers'), /retry-after/);
  }
});

t.test('preflights are answered', async t => {
  const service = await startService(t, { corsOrigins: [APP] });
  const routes: [path: string, method: string][] = [
    ['/auth/sign-in', 'POST'],
    ['/auth/me', 'GET'],
    ['/auth/password', 'PUT'],
    ['/auth/sessions/01a20cb7-59a6-7a87-9103-e4252a07a04b', 'DELETE'],
  ];
  for (const [path, method] of routes) {
    const answer = await preflight(service, path, method);
    t.match(answer, { status: 204, text: '' }, path);
    t.equal(answer.headers.get('access-control-allow-origin'), APP);
    t.ok(answer.headers.get('access-control-allow-methods')?.split(', ').includes(method), path);
    t.equal(
      answer.headers.get('access-control-allow-headers'),
      'authorization, content-type, idempotency-key, traceparent, tracestate',
    );
    t.equal(answer.headers.get('access-control-max-age'), '7200');
    t.equal(answer.headers.get('vary'), 'Origin');
    t.notOk(answer.headers.has('access-control-allow-private-network'));
  }
  const options = await call(`${service.base}/auth/sign-in`, { method: 'OPTIONS' });
  t.match(options, { status: 405, body: { code: 'method_not_allowed' } }, 'what is no preflight is answered as ever');
  t.equal(options.headers.get('allow'), 'POST');
});

t.test('an origin that is not listed gets no CORS headers', async t => {
  const service = await startService(t, { corsOrigins: [APP] });
  const strangers = [
    'https://evil.example',
    'null',
    'http://app.example.com',
    'https://app.example.com:8443',
    'https://app.example.com.evil.example',
    'https://sub.app.example.com',
    'HTTPS://APP.EXAMPLE.COM',
    '',
    `${APP}, https://evil.example`,
    '__proto__',
  ];
  for (const origin of strangers) {
    const asked = await preflight(service, '/auth/sign-in', 'POST', origin);
    t.equal(asked.status, 405, origin);
    t.same(corsHeaders(asked), [], origin);
    const answer = await call(`${service.base}/auth/me`, { headers: { origin } });
    t.same(corsHeaders(answer), [], origin);
    t.equal(answer.headers.get('vary'), 'Origin', origin);
  }
  const listed = { headers: { origin: APP } };
  for (const path of [
    '/oauth/token',
    '/auth/revocations',
    '/auth/revocations?wait=1',
    '/auth/%72evocations',
    '/auth/%76erify',
    '/auth/verify',
    '/readyz',
  ]) {
    const init = path === '/oauth/token' ? { ...listed, method: 'POST' } : listed;
    t.same(corsHeaders(await call(service.base + path, init)), [], `${path} is not for browsers`);
  }
});

t.test('in development, pages of any port of the machine are listed, and no others', async t => {
  const service = await startService(t, { corsOrigins: ['http://localhost:*'] });
  const allowed = async (origin: string) =>
    (await call(`${service.base}/auth/me`, { headers: { origin } })).headers.get('access-control-allow-origin');
  for (const origin of ['http://localhost:5173', 'http://localhost']) t.equal(await allowed(origin), origin);
  for (const origin of [
    ...['https://localhost:5173', 'http://localhost.example:5173', 'http://localhost:5173.example', 'null'],
    ...['http://127.0.0.1:5173', 'http://localhost:*', 'http://a.localhost:1', 'http://localhost:123456'],
  ])
    t.equal(await allowed(origin), null, origin);
});

t.test('without a list nobody is listed', async t => {
  const service = await startService(t, { corsOrigins: [] });
  const asked = await preflight(service, '/auth/sign-in', 'POST');
  t.equal(asked.status, 405);
  t.same(corsHeaders(asked), []);
  t.notOk(asked.headers.has('vary'));
});

t.test('a form of another site changes nothing: it cannot send JSON without a preflight', async t => {
  const { base, sql } = await startService(t, { corsOrigins: [APP] });
  const { username, password } = newCredentials();
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', '']) {
    const body = JSON.stringify({ username, password });
    const { status } = await post(`${base}/auth/sign-up`, body, {
      'content-type': type,
      origin: 'https://evil.example',
    });
    t.ok(status === 415 || status === 400, type);
  }
  t.same((await sql('SELECT FROM auth.users')).rows, []);
});

t.test('no header or method gets around a route', async t => {
  const service = await startService(t);
  const { base } = service;
  const { token } = (await post(`${base}/auth/sign-up`, newCredentials())).body;
  const bearer = { authorization: `Bearer ${token}` };
  const overridden = await call(`${base}/auth/me`, {
    method: 'POST',
    headers: { ...bearer, 'x-http-method-override': 'GET', 'x-method-override': 'GET' },
  });
  t.equal(overridden.status, 405);
  t.equal(overridden.headers.get('allow'), 'GET, HEAD');
  const head = await fetch(`${base}/auth/verify`, { method: 'HEAD', headers: bearer });
  t.ok(head.headers.get('x-auth-user-id'), 'HEAD is GET without a body');
  t.equal((await fetch(`${base}/auth/verify`, { method: 'HEAD' })).status, 401);
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
    const verified = await call(`${base}/auth/verify`, { method, headers: bearer });
    t.equal(verified.status, 200, 'Envoy asks with the method of the request that it asks about');
    t.ok(verified.headers.get('x-auth-user-id'));
    t.equal((await call(`${base}/auth/verify`, { method })).status, 401);
  }

  const end = 'Host: x\r\nConnection: close\r\n';
  for (const method of ['TRACE', 'QUERY', 'PROPFIND', 'M-SEARCH']) {
    const refused = await raw(service, `${method} /auth/verify HTTP/1.1\r\n${end}\r\n`);
    t.match(refused, /^HTTP\/1.1 405 /, method);
    t.match(refused, /\r\nallow: GET, HEAD, DELETE, PATCH, PUT, POST\r\n/, method);
    t.match(refused, /"code":"method_not_allowed"/, method);
    const nowhere = await raw(service, `${method} /nothing HTTP/1.1\r\n${end}\r\n`);
    t.match(nowhere, /^HTTP\/1.1 404 .*"code":"not_found"/s, method);
  }
  const plain = { 'content-type': 'text/plain' };
  const unread = await call(`${base}/auth/sign-in`, { method: 'PUT', headers: plain, body: '{' });
  t.match(unread, { status: 405, body: { code: 'method_not_allowed' } }, 'whatever its body');
  t.equal(unread.headers.get('allow'), 'POST');
  const twice = `Authorization: Bearer nonsense\r\nAuthorization: Bearer ${token}\r\n`;
  t.match(await raw(service, `GET /auth/verify HTTP/1.1\r\n${end}${twice}\r\n`), /^HTTP\/1.1 401 /);
  const forged = 'Host: evil.example\r\nX-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\n';
  const metadata = await raw(
    service,
    `GET /.well-known/oauth-authorization-server HTTP/1.1\r\nConnection: close\r\n${forged}\r\n`,
  );
  t.match(metadata, /"issuer":"https:\/\/auth.example.com"/);
  t.notMatch(metadata, /evil/);
});

t.test('nobody hides a request within another', async t => {
  const service = await startService(t);
  const hidden = '0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n';
  const ambiguous = [
    'Content-Length: 5\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: chunked\r\nContent-Length: 5',
    'Transfer-Encoding: chunked, identity',
    'Transfer-Encoding: xchunked',
    'Transfer-Encoding : chunked',
    ' Transfer-Encoding: chunked',
    'Content-Length: 5\r\nContent-Length: 6',
    'Content-Length: +5',
    'X: y\nTransfer-Encoding: chunked',
  ];
  for (const headers of ambiguous) {
    const answer = await raw(service, `POST /auth/sign-in HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n${hidden}`);
    t.match(answer, /^HTTP\/1.1 4\d\d /, headers);
    t.notMatch(answer, /HTTP\/1.1 200 /, `${headers}: what is hidden is not answered`);
  }
});
