import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { type AuthClientError, createAuthClient, isAuthClientError } from '#src/index.js';

const sessionId = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`;

const credentials = { username: 'helloworld', password: 'open sesame 42' };
const user = {
  id: '01a20b2e-4a43-7235-b259-7ff0cab3d9d5',
  username: 'helloworld',
  email: 'ada@example.com',
  createdAt: '2026-11-24T01:31:52.772Z',
};
const signedIn = { token: 'a.b.c', tokenType: 'Bearer', expiresIn: 600, refreshToken: 'r', refreshExpiresIn: 9, user };

type Handler = (request: IncomingMessage, response: ServerResponse, nth: number) => void;

/** A server that does what networks and gateways may do to a client. */
async function peer(t: Test, handler: Handler): Promise<{ baseUrl: string; requests: () => number }> {
  let requests = 0;
  const server = createServer((request, response) => handler(request, response, ++requests)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests: () => requests };
}

const json = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) =>
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));

const problem = (response: ServerResponse, status: number, code: string, headers: Record<string, string> = {}) =>
  json(
    response,
    status,
    { type: `urn:latchkey:problem:${code}`, title: 'x', status, detail: `Detail of ${code}`, code, requestId: 'r1' },
    { 'content-type': 'application/problem+json', ...headers },
  );

async function failure(request: Promise<unknown>): Promise<AuthClientError> {
  try {
    await request;
  } catch (error) {
    if (isAuthClientError(error)) return error;
    throw error;
  }
  throw new Error('the request should have failed');
}

t.test('sends what the contract says', async t => {
  let seen: unknown;
  const { baseUrl } = await peer(t, async (request, response) => {
    const chunks = await request.toArray();
    const { method, url, headers } = request;
    seen = { method, url, type: headers['content-type'], authorization: headers.authorization, body: chunks.join('') };
    json(response, url?.endsWith('sign-up') ? 201 : 200, url?.endsWith('me') ? user : signedIn);
  });
  const client = createAuthClient({ baseUrl: `${baseUrl}/prefix/` });
  t.same(await client.signUp(credentials), signedIn);
  t.match(seen, {
    method: 'POST',
    url: '/prefix/auth/sign-up',
    type: 'application/json',
    body: JSON.stringify(credentials),
  });
  t.same(await client.signIn(credentials), signedIn);
  t.match(seen, { method: 'POST', url: '/prefix/auth/sign-in' });
  t.same(await client.me('a.b.c'), user);
  t.match(seen, { method: 'GET', url: '/prefix/auth/me', authorization: 'Bearer a.b.c', body: '' });
  t.same(await client.refresh('s.0.m'), signedIn);
  t.match(seen, { method: 'POST', url: '/prefix/auth/refresh', body: '{"refreshToken":"s.0.m"}' });
});

t.test('a service of the version before does not say the reason of a fault', async t => {
  const errors = [{ pointer: '/username', detail: 'must match a pattern' }];
  const body = { type: 'x', title: 'x', status: 400, detail: 'x', code: 'invalid_request', requestId: 'r1', errors };
  const { baseUrl } = await peer(t, (_, response) => json(response, 400, body));
  t.match(await failure(createAuthClient({ baseUrl }).signIn(credentials)), {
    name: 'AuthProblemError',
    problem: { errors },
  });
});

t.test('rejects with the problem', async t => {
  const { baseUrl, requests } = await peer(t, (_, response) => problem(response, 401, 'invalid_credentials'));
  const error = await failure(createAuthClient({ baseUrl }).signIn(credentials));
  t.equal(error.code, 'invalid_credentials');
  t.match(error.problem, { status: 401, requestId: 'r1' });
  t.equal(error.message, 'Detail of invalid_credentials');
  t.equal(requests(), 1);
});

t.test('sends requests about addresses and passwords as the contract says', async t => {
  let seen: string[] = [];
  const { baseUrl } = await peer(t, async (request, response) => {
    const { method, url, headers } = request;
    seen = [`${method} ${url}`, headers.authorization ?? '', (await request.toArray()).join('')];
    const isAccepted = method === 'PUT' || url?.endsWith('forgot');
    if (method === 'GET') json(response, 200, { email: null, pending: null });
    else response.writeHead(isAccepted ? 202 : 204).end();
  });
  const client = createAuthClient({ baseUrl });
  const email = { email: 'ada@example.com' };
  t.same(await client.getEmail('a.b.c'), { email: null, pending: null });
  t.same(seen, ['GET /auth/email', 'Bearer a.b.c', '']);
  t.equal(await client.setEmail('a.b.c', email), undefined);
  t.same(seen, ['PUT /auth/email', 'Bearer a.b.c', JSON.stringify(email)]);
  t.equal(await client.removeEmail('a.b.c'), undefined);
  t.same(seen, ['DELETE /auth/email', 'Bearer a.b.c', '']);
  t.equal(await client.verifyEmail({ token: 'x' }), undefined);
  t.same(seen, ['POST /auth/email/verify', '', '{"token":"x"}']);
  t.equal(await client.requestPasswordReset(email), undefined);
  t.same(seen, ['POST /auth/password/forgot', '', JSON.stringify(email)]);
  t.equal(await client.resetPassword({ token: 'x', newPassword: 'y' }), undefined);
  t.same(seen, ['POST /auth/password/reset', '', '{"token":"x","newPassword":"y"}']);
});

t.test('sends requests about second factors as the contract says', async t => {
  let seen: string[] = [];
  let answer: [status: number, body?: unknown] = [204];
  const { baseUrl } = await peer(t, async (request, response) => {
    const { method, url, headers } = request;
    seen = [`${method} ${url}`, headers.authorization ?? '', (await request.toArray()).join('')];
    const [status, body] = answer;
    if (body === undefined) response.writeHead(status).end();
    else json(response, status, body);
  });
  const client = createAuthClient({ baseUrl });
  const passkey = { id: user.id, name: 'Phone', createdAt: user.createdAt, lastUsedAt: null, backedUp: true };
  const codes = { recoveryCodes: ['x'] };
  const requestOptions = { challenge: 'x', timeout: 1, rpId: 'example.com', userVerification: 'required' };
  const creationOptions = {
    ...{ rp: { id: 'example.com', name: 'x' }, user: { id: 'x', name: 'x', displayName: 'x' }, challenge: 'x' },
    ...{ pubKeyCredParams: [{ type: 'public-key', alg: -7 }], timeout: 1, excludeCredentials: [], attestation: 'none' },
    authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
  };
  const response = { id: 'x' } as never;
  const totp = '123456';
  const calls: [request: () => Promise<unknown>, seen: string[], answer: typeof answer][] = [
    [
      () => client.completeSignIn({ challenge: 'c', totp }),
      ['POST /auth/sign-in/second-factor', '', '{"challenge":"c","totp":"123456"}'],
      [200, signedIn],
    ],
    [
      () => client.factors('t'),
      ['GET /auth/factors', 'Bearer t', ''],
      [200, { password: true, totp: null, recoveryCodesLeft: 0, passkeys: [passkey] }],
    ],
    [() => client.startTotp('t'), ['POST /auth/totp', 'Bearer t', ''], [200, { secret: 'S', uri: 'u', qrCode: 'q' }]],
    [
      () => client.confirmTotp('t', { totp }),
      ['POST /auth/totp/confirm', 'Bearer t', '{"totp":"123456"}'],
      [200, codes],
    ],
    [() => client.removeTotp('t'), ['DELETE /auth/totp', 'Bearer t', ''], [204]],
    [() => client.makeRecoveryCodes('t'), ['POST /auth/recovery-codes', 'Bearer t', ''], [200, codes]],
    [() => client.passkeyOptions('t'), ['POST /auth/passkeys/options', 'Bearer t', ''], [200, creationOptions]],
    [
      () => client.addPasskey('t', { response, name: 'Phone' }),
      ['POST /auth/passkeys', 'Bearer t', '{"response":{"id":"x"},"name":"Phone"}'],
      [201, { ...passkey, ...codes }],
    ],
    [
      () => client.renamePasskey('t', 'a/b', { name: 'Phone' }),
      ['PATCH /auth/passkeys/a%2Fb', 'Bearer t', '{"name":"Phone"}'],
      [200, passkey],
    ],
    [() => client.removePasskey('t', 'x'), ['DELETE /auth/passkeys/x', 'Bearer t', ''], [204]],
    [() => client.passkeySignInOptions(), ['POST /auth/sign-in/passkey/options', '', '{}'], [200, requestOptions]],
    [
      () => client.passkeySignInOptions({ challenge: 'c' }),
      ['POST /auth/sign-in/passkey/options', '', '{"challenge":"c"}'],
      [200, { ...requestOptions, allowCredentials: [{ id: 'x', type: 'public-key' }] }],
    ],
    [
      () => client.signInWithPasskey({ response }),
      ['POST /auth/sign-in/passkey', '', '{"response":{"id":"x"}}'],
      [200, signedIn],
    ],
    [
      () => client.stepUp('t', { password: 'p' }),
      ['POST /auth/step-up', 'Bearer t', '{"password":"p"}'],
      [200, signedIn],
    ],
    [
      () => client.stepUpPasskeyOptions('t'),
      ['POST /auth/step-up/passkey/options', 'Bearer t', ''],
      [200, requestOptions],
    ],
    [
      () => client.passkeySignUpOptions({ username: 'ada' }),
      ['POST /auth/sign-up/passkey/options', '', '{"username":"ada"}'],
      [200, creationOptions],
    ],
    [
      () => client.signUpWithPasskey({ response }),
      ['POST /auth/sign-up/passkey', '', '{"response":{"id":"x"}}'],
      [201, signedIn],
    ],
  ];
  for (const [request, expected, given] of calls) {
    answer = given;
    t.same(await request(), given[1]);
    t.same(seen, expected);
  }
});

t.test('a sign-up that a mail completes is an outcome of its own', async t => {
  let status = 202;
  const { baseUrl, requests } = await peer(t, (_, response) => {
    if (status === 202) response.writeHead(202).end();
    else json(response, status, signedIn);
  });
  const client = createAuthClient({ baseUrl });
  const account = { ...credentials, email: 'ada@example.com' };
  t.equal(await client.requestSignUp(account), 'pending');
  const error = await failure(client.signUp(account));
  t.match(error, { name: 'SignUpPendingError', code: 'sign_up_pending', problem: undefined });
  t.equal(requests(), 2);
  status = 201;
  t.same(await client.requestSignUp(account), signedIn);
  status = 200;
  t.equal((await failure(client.requestSignUp(account))).code, 'unexpected_answer');
  const page = await peer(t, (_, response) => response.writeHead(201, { 'content-type': 'text/html' }).end('<html>'));
  t.equal((await failure(createAuthClient(page).requestSignUp(account))).code, 'unexpected_answer');
});

t.test('a user of a service of the version before has no address', async t => {
  const { email: _, ...earlier } = user;
  const { baseUrl } = await peer(t, ({ url }, response) => {
    json(
      response,
      url?.endsWith('sign-up') ? 201 : 200,
      url?.endsWith('me') ? earlier : { ...signedIn, user: earlier },
    );
  });
  const client = createAuthClient({ baseUrl });
  const expected = { ...user, email: null };
  t.same(await client.me('a.b.c'), expected);
  t.same((await client.signIn(credentials)).user, expected);
  t.same((await client.signUp(credentials)).user, expected);
  t.same((await client.refresh('r')).user, expected);
  t.same((await client.changePassword('a.b.c', { currentPassword: 'x', newPassword: 'y' })).user, expected);
});

t.test('an error says which sign-in the service asks for', async t => {
  const challenges: [challenge: string, needed: object][] = [
    ['acr_values="aal2 aal1", max_age=600', { acr: 'aal2', maxAgeS: 600 }],
    ['max_age="60", acr_values="urn:a:b"', { acr: 'urn:a:b', maxAgeS: 60 }],
    ['max_age=0', { acr: undefined, maxAgeS: 0 }],
    ['max_age=soon, acr_values=""', { acr: undefined, maxAgeS: undefined }],
  ];
  for (const [challenge, needed] of challenges) {
    const header = `Bearer error="insufficient_user_authentication", ${challenge}`;
    const { baseUrl } = await peer(t, (_, response) =>
      problem(response, 401, 'insufficient_user_authentication', { 'www-authenticate': header }),
    );
    const error = await failure(createAuthClient({ baseUrl }).removeEmail('a.b.c'));
    t.match(error, { code: 'insufficient_user_authentication', ...needed }, challenge);
  }
  const headers = { 'www-authenticate': 'Bearer error="invalid_token", max_age=600' };
  const { baseUrl } = await peer(t, (_, response) => problem(response, 401, 'invalid_token', headers));
  t.match(await failure(createAuthClient({ baseUrl }).me('a.b.c')), { maxAgeS: undefined, acr: undefined });
});

t.test('accepts members it does not know', async t => {
  const { baseUrl } = await peer(t, (_, response) => json(response, 200, { ...signedIn, more: 'new' }));
  t.match(await createAuthClient({ baseUrl }).signIn(credentials), signedIn);
});

t.test('rejects every response that is not one of the service', async t => {
  const responses: [name: string, respond: (response: ServerResponse) => void][] = [
    ['a page', response => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')],
    ['a redirect', response => response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end()],
    [
      'broken JSON',
      response => response.writeHead(200, { 'content-type': 'application/json' }).end('{"token":"canary'),
    ],
    ['a wrong type', response => json(response, 200, { ...signedIn, expiresIn: '600' })],
    ['a missing member', response => json(response, 200, { token: 'canary' })],
    ['a wrong status', response => json(response, 202, signedIn)],
    ['an error that is no problem', response => json(response, 400, { message: 'canary' })],
    ['a bad date', response => json(response, 200, { ...signedIn, user: { ...user, createdAt: 'today' } })],
  ];
  for (const [name, respond] of responses) {
    const { baseUrl, requests } = await peer(t, (_, response) => respond(response));
    const error = await failure(createAuthClient({ baseUrl }).signIn(credentials));
    t.equal(error.code, 'unexpected_answer', name);
    t.notMatch(error.message, /canary/, name);
    t.equal(requests(), 1, name);
  }
});

t.test('every request has a deadline, which covers retries, and can be aborted', async t => {
  const { baseUrl } = await peer(t, () => undefined);
  const client = createAuthClient({ baseUrl, timeoutMs: 100 });
  t.equal((await failure(client.me('a.b.c'))).code, 'timeout');
  t.equal((await failure(client.signIn(credentials, { timeoutMs: 20 }))).code, 'timeout');
  t.equal((await failure(client.me('a.b.c', { signal: AbortSignal.timeout(20), timeoutMs: 5000 }))).code, 'aborted');
  t.equal((await failure(client.me('a.b.c', { signal: AbortSignal.abort() }))).code, 'aborted');

  const stalling = await peer(t, (_, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).write('{'),
  );
  t.equal((await failure(createAuthClient({ ...stalling, timeoutMs: 100 }).me('a.b.c'))).code, 'timeout', 'mid-body');

  const busy = await peer(t, (_, response) => problem(response, 503, 'service_unavailable', { 'retry-after': '60' }));
  const error = await failure(createAuthClient(busy).me('a.b.c'));
  t.equal(error.code, 'service_unavailable');
  t.equal(busy.requests(), 1, 'a pause longer than the deadline is not slept');
});

t.test('sends again only where that is safe', async t => {
  const unavailable = (headers: Record<string, string> = { 'retry-after': '0' }): Handler => {
    return (request, response, nth) => {
      if (nth === 1) problem(response, 503, 'service_unavailable', headers);
      else succeed(request, response);
    };
  };
  const succeed = ({ method, url }: IncomingMessage, response: ServerResponse) => {
    if (url === '/auth/email' && method === 'GET') json(response, 200, { email: null, pending: null });
    else if (url === '/auth/email' || url?.endsWith('forgot')) response.writeHead(202).end();
    else if (method === 'DELETE' || /sign-out|verify|reset/.test(url ?? '')) response.writeHead(204).end();
    else json(response, url?.endsWith('sign-up') ? 201 : 200, method === 'GET' ? user : signedIn);
  };
  const cut: Handler = (request, response, nth) => {
    if (nth === 1) request.destroy();
    else succeed(request, response);
  };
  type Client = ReturnType<typeof createAuthClient>;
  const me = (client: Client) => client.me('a.b.c');
  const signIn = (client: Client) => client.signIn(credentials);
  const signUp = (client: Client) => client.signUp(credentials);
  const signOut = (client: Client) => client.signOut('a.b.c');
  const endSession = (client: Client) => client.endSession('a.b.c', 's1');
  const changePassword = (client: Client) => client.changePassword('a.b.c', { currentPassword: 'x', newPassword: 'y' });

  const getEmail = (client: Client) => client.getEmail('a.b.c');
  const setEmail = (client: Client) => client.setEmail('a.b.c', { email: 'ada@example.com' });
  const removeEmail = (client: Client) => client.removeEmail('a.b.c');
  const verifyEmail = (client: Client) => client.verifyEmail({ token: 'x' });
  const forgot = (client: Client) => client.requestPasswordReset({ email: 'ada@example.com' });
  const reset = (client: Client) => client.resetPassword({ token: 'x', newPassword: 'y' });

  const cases: [name: string, handler: Handler, send: (client: Client) => Promise<unknown>, requests: number][] = [
    ['me after 503', unavailable({}), me, 2],
    ['me after a cut', cut, me, 2],
    ['sign-in after 503 with Retry-After', unavailable(), signIn, 2],
    ['sign-in after 503 without', unavailable({}), signIn, 1],
    ['sign-in after a cut', cut, signIn, 1],
    ['sign-up after 503', unavailable({}), signUp, 2],
    ['sign-up after a cut', cut, signUp, 2],
    ['sign-out after 503', unavailable(), signOut, 1],
    ['the end of a session after 503', unavailable(), endSession, 1],
    ['a password change after 503', unavailable(), changePassword, 1],
    ['a password change after a cut', cut, changePassword, 1],
    ['the address after a cut', cut, getEmail, 2],
    ['a change of the address after 503 with Retry-After', unavailable(), setEmail, 2],
    ['a change of the address after a cut', cut, setEmail, 1],
    ['a removal of the address after 503', unavailable(), removeEmail, 1],
    ['a verification after 503', unavailable(), verifyEmail, 1],
    ['a request for a reset after 503 with Retry-After', unavailable(), forgot, 2],
    ['a request for a reset after a cut', cut, forgot, 1],
    ['a reset after 503', unavailable(), reset, 1],
  ];
  for (const [name, handler, send, requests] of cases) {
    const server = await peer(t, handler);
    const outcome = send(createAuthClient(server));
    if (requests === 1) await t.rejects(outcome, name);
    else await t.resolves(outcome, name);
    t.equal(server.requests(), requests, name);
  }
  const never = await peer(t, (_, response) => problem(response, 503, 'service_unavailable'));
  await t.rejects(me(createAuthClient({ ...never, maxRetries: 3 })), { code: 'service_unavailable' });
  t.equal(never.requests(), 4, 'and not for ever');
});

t.test('a sign-up has a key, the same with each attempt and another with each sign-up, or the given one', async t => {
  const keys: (string | undefined)[] = [];
  const { baseUrl, requests } = await peer(t, (request, response, nth) => {
    keys.push(request.headersDistinct['idempotency-key']?.join());
    if (nth === 1) request.destroy();
    else if (nth === 2) response.writeHead(502).end();
    else json(response, 201, signedIn);
  });
  const client = createAuthClient({ baseUrl });
  await client.signUp(credentials);
  await client.signUp(credentials);
  t.match(keys[0], /^"[0-9a-f]{32}"$/);
  t.same(keys.slice(0, 3), [keys[0], keys[0], keys[0]]);
  t.not(keys[3], keys[0]);
  await client.signUp(credentials, { idempotencyKey: 'form-"1"' });
  t.equal(keys[4], '"form-\\"1\\""');
  for (const idempotencyKey of ['', 'a b', 'ä', 'a\nb', 'x'.repeat(256)]) {
    await t.rejects(client.signUp(credentials, { idempotencyKey }), TypeError, idempotencyKey);
  }
  t.equal(requests(), 5, 'a key that cannot be one is not sent');
});

t.test('reads no more than a response of the service can be', async t => {
  let sent = 0;
  const flood: Handler = (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    const more = () => {
      while (sent < 200e6 && response.write(' '.repeat(65_536))) sent += 65_536;
    };
    response.on('drain', more);
    more();
  };
  const { baseUrl } = await peer(t, flood);
  const client = createAuthClient({ baseUrl, timeoutMs: 60_000 });
  t.match(await failure(client.me('a.b.c')), { code: 'unexpected_answer', message: /larger than 1048576 bytes/ });
  t.ok(sent < 50e6, 'the transfer ends there');
  sent = 0;
  t.match(await failure(client.revocations('a.b.c')), { code: 'unexpected_answer', message: /larger than 16777216/ });
  t.ok(sent < 100e6);
});

t.test('the credentials of a service are sent as RFC 6749 says', async t => {
  let seen: unknown;
  const { baseUrl } = await peer(t, async (request, response) => {
    const { method, url, headers } = request;
    seen = { method, url, ...headers, body: (await request.toArray()).join('') };
    json(response, 200, { access_token: 'a.b.c', token_type: 'Bearer', expires_in: 600, scope: 'x' });
  });
  const client = createAuthClient({ baseUrl });
  t.match(await client.serviceToken({ id: 'a b', secret: 'ü:%', scope: 'x y' }), { access_token: 'a.b.c' });
  t.match(seen, {
    method: 'POST',
    url: '/oauth/token',
    authorization: `Basic ${Buffer.from('a+b:%C3%BC%3A%25').toString('base64')}`,
    'content-type': 'application/x-www-form-urlencoded',
    body: 'grant_type=client_credentials&scope=x+y',
  });
});

t.test('reads the feed of ended sessions, and gives it the time that it may wait', async t => {
  const piece = { cursor: '7', revoked: [{ sid: sessionId(1), exp: 1 }], keys: ['k1'] };
  const urls: unknown[] = [];
  const { baseUrl } = await peer(t, ({ url }, response) => {
    urls.push(url);
    setTimeout(() => json(response, 200, piece), url?.includes('after') ? 400 : 0);
  });
  const client = createAuthClient({ baseUrl, timeoutMs: 200 });
  t.same(await client.revocations('a.b.c'), piece);
  t.same(await client.revocations('a.b.c', { after: 'a&b', wait: 1 }), piece);
  t.same(urls, ['/auth/revocations?wait=0', '/auth/revocations?wait=1&after=a%26b']);
});

t.test('waits as long as Retry-After says, in either form', async t => {
  for (const retryAfter of ['1', () => new Date(Date.now() + 2000).toUTCString()]) {
    const { baseUrl } = await peer(t, (_, response, nth) => {
      const value = typeof retryAfter === 'string' ? retryAfter : retryAfter();
      if (nth === 1) problem(response, 429, 'service_unavailable', { 'retry-after': value });
      else json(response, 200, user);
    });
    const before = performance.now();
    await createAuthClient({ baseUrl }).me('a.b.c');
    t.ok(performance.now() - before >= 950);
  }
});

t.test('a request without a connection is sent again, whatever it is', async t => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  server.close();
  let requests = 0;
  const client = createAuthClient({
    baseUrl,
    fetch: (url, init) => {
      requests++;
      return fetch(url, init);
    },
  });
  const error = await failure(client.signUp(credentials));
  t.equal(error.code, 'network_error');
  t.equal(error.message, `Cannot reach ${baseUrl}.`);
  t.equal(requests, 3);
});

t.test('refuses a base URL that cannot be right', async t => {
  for (const baseUrl of ['auth', 'ftp://auth', 'http://me:secret@auth', 'http://auth/?x=1']) {
    t.throws(() => createAuthClient({ baseUrl }), TypeError, baseUrl);
  }
});
