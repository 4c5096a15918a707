import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { isIP } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { createAuthClient } from '@latchkey/auth-client';
import { createTestIssuer } from '@latchkey/auth-client/testing';
import getPort from 'get-port';
import type { Test } from 'tap';
import { call, PASSWORD, type System, startSystem } from '../services.js';
import type { Gateway } from './gateway.js';
import { type Seen, sendRaw, startRecorder, statuses } from './raw.js';

const CRLF = '\r\n';

/** What every gateway must do, told in front of the real services. */
export function tellStories(t: Test, gateway: Gateway): void {
  t.test(gateway.name, { skip: gateway.skip }, async t => {
    const system = await startSystem(t, { THROTTLE_ENABLED: 'false' });
    for (const [name, tell] of Object.entries(stories)) await t.test(name, t => tell(t, gateway, system));
  });
}

const stories: Record<string, (t: Test, gateway: Gateway, system: System) => Promise<void>> = {
  async 'the whole story'(t, gateway, { authUrl, notesUrl }) {
    const base = await gateway.start(t, { auth: [authUrl], notes: [notesUrl] });
    const credentials = { username: 'helloworld', password: PASSWORD };
    const signedUp = await call(`${base}/auth/sign-up`, undefined, { method: 'POST', body: credentials });
    t.equal(signedUp.status, 201);
    const { token, user } = (await call(`${base}/auth/sign-in`, undefined, { method: 'POST', body: credentials })).body;
    t.same((await call(`${base}/auth/me`, token)).body, user);
    t.equal((await call(`${base}/.well-known/jwks.json`)).body.keys.length, 1);
    for (const name of ['oauth-authorization-server', 'openid-configuration'])
      t.equal((await call(`${base}/.well-known/${name}`)).body.issuer, authUrl, name);
    t.equal((await call(`${base}/oauth/token`, undefined, { method: 'POST' })).status, 400);

    const note = await call(`${base}/notes`, token, { method: 'POST', body: { text: 'through the gateway' } });
    t.equal(note.status, 201);
    t.same((await call(`${base}/notes`, token)).body, { notes: [note.body] });
    t.same((await call(`${base}/notes?before=${note.body.id}`, token)).body, { notes: [] }, 'the query goes along');
    t.same((await call(`${base}/notes/profile`, token)).body, { user, noteCount: 1 });
    t.equal((await call(`${base}/notes/${note.body.id}`, token, { method: 'DELETE' })).status, 204);
    t.equal((await call(`${base}/elsewhere`)).status, 404);

    const missing = await call(`${base}/notes`, undefined, { method: 'POST', body: { text: 'x' } });
    t.match(missing, { status: 401, body: { code: 'missing_token', status: 401 } });
    t.equal(missing.headers.get('www-authenticate'), 'Bearer');
    const invalid = await call(`${base}/notes`, 'a.b.c');
    t.match(invalid, { status: 401, body: { code: 'invalid_token' } });
    t.equal(invalid.headers.get('www-authenticate'), 'Bearer error="invalid_token"');
  },

  async 'nobody smuggles an identity'(t, gateway, { authUrl, signUp }) {
    const notes = await startRecorder(t, () => ({ status: 200, body: '{}' }));
    const base = await gateway.start(t, { auth: [authUrl], notes: [notes.url] });
    const { token, user } = await signUp();
    const authorization = `Authorization: Bearer ${token}`;
    const forgeries: string[][] = [
      ['X-Auth-User-Id: root', 'X-Auth-Username: root', 'X-Auth-Session-Id: root', 'X-Auth-Acr: root'],
      ['x-auth-user-id: root', 'X-AUTH-USER-ID: root', 'x-AuTh-uSeR-iD: root'],
      ['X_Auth_User_Id: root', 'X-Auth_User_Id: root', 'X_Forwarded_For: 203.0.113.9'],
      ['X-Auth-User-Id : root'],
      ['X-Auth-User-Id\t: root'],
      ['Accept: x\rX-Auth-User-Id: root'],
      ['Accept: x\nX-Auth-User-Id: root'],
      ['X-Auth-User-Id:\troot', 'X-Auth-User-Id:', 'X-Auth-User-Id:  root  '],
      ['Connection: close, x-auth-user-id, x-auth-username, x-request-id, x-forwarded-for'],
      ['Connection: close, authorization'],
      ['X-Forwarded-For: 203.0.113.9', 'X-Forwarded-For: 203.0.113.10', 'X-Request-Id: forged'],
      [
        'Forwarded: for=203.0.113.9',
        'X-Real-IP: 203.0.113.9',
        'True-Client-IP: 203.0.113.9',
        'X-Client-IP: 203.0.113.9',
      ],
      ['X-Original-URL: /metrics', 'X-Rewrite-URL: /metrics', 'X-Original-Method: GET', 'X-HTTP-Method-Override: PUT'],
      ['X-Forwarded-Host: evil', 'X-Forwarded-Proto: evil', 'X-Forwarded-Port: 1', 'X-Forwarded-Prefix: /evil'],
      ['X-Forwarded-Uri: /evil', 'X-Forwarded-Method: EVIL', 'X-Forwarded-Server: evil'],
    ];
    // A folded line is refused or part of the value before it, but no field of its own.
    notes.seen.length = 0;
    await sendRaw(
      base,
      `GET /notes HTTP/1.1${CRLF}Host: gateway${CRLF}${authorization}${CRLF}Accept: x${CRLF} X-Auth-User-Id: root${CRLF}Connection: close${CRLF}${CRLF}`,
    );
    for (const { headers } of notes.seen) t.not(headers['x-auth-user-id'], 'root');

    for (const forged of forgeries) {
      const name = JSON.stringify(forged);
      notes.seen.length = 0;
      const lines = ['GET /notes HTTP/1.1', 'Host: gateway', authorization, ...forged, 'Connection: close'];
      const [status] = statuses(await sendRaw(base, `${lines.join(CRLF)}${CRLF}${CRLF}`));
      t.ok(status === 200 || status === 400 || status === 401, `${name}: ${status}`);
      t.equal(notes.seen.length, status === 200 ? 1 : 0, name);
      for (const { headers, rawHeaders, method, url } of notes.seen) {
        t.same([method, url], ['GET', '/notes'], name);
        // A value may hold what was meant to be a field, and a token anything.
        const fields = JSON.stringify(
          Object.entries(headers).filter(([field]) => !/^(accept|authorization)$|_/.test(field)),
        );
        t.notMatch(fields, /root|forged|evil|EVIL|203\.0\.113|\/metrics|PUT/, name);
        if (gateway.can.includes('drop underscores')) {
          t.notMatch(rawHeaders.filter((_, i) => i % 2 === 0).join(), /_/, name);
        }
        t.ok(isIP(headers['x-forwarded-for'] as string), name);
        if (gateway.can.includes('identify')) t.match(headers['x-request-id'], /^[0-9a-f-]{32,36}$/, name);
        t.equal(headers.authorization, `Bearer ${token}`, name);
        if (!gateway.can.includes('ask')) continue;
        t.equal(headers['x-auth-user-id'], user.id, name);
        t.equal(headers['x-auth-username'], user.username, name);
        t.match(headers['x-auth-session-id'], /^[0-9a-f-]{36}$/, name);
        t.equal(headers['x-auth-acr'], 'aal1', name);
      }
    }
    const forged = { 'x-request-id': 'forged', 'x-forwarded-for': '203.0.113.9' };
    const answer = await call(`${base}/auth/me`, token, { headers: forged });
    t.match(answer.headers.get('x-request-id'), /^[0-9a-f-]{32,36}$/, 'auth-service takes the gateway’s id');
  },

  async 'what needs a second factor is passed on with one only'(t, gateway, { authUrl, signUp }) {
    if (!gateway.can.includes('demand')) return;
    const notes = await startRecorder(t, () => ({ status: 200, body: '{}' }));
    const base = await gateway.start(t, { auth: [authUrl], notes: [notes.url] });
    const { token, refreshToken, user } = await signUp();
    const challenge = 'Bearer error="insufficient_user_authentication", acr_values="aal2", max_age=600';
    const forged = { headers: { 'x-auth-acr': 'aal2' } };
    for (const path of [
      '/notes/vault',
      '/notes/vault/x',
      '/notes/vault?acr=aal1',
      '/notes/vault/x?max_age=1&acr=aal1',
      '/notes/%76ault',
      '/notes/../notes/vault',
    ]) {
      const answer = await sendRaw(
        base,
        `GET ${path} HTTP/1.1${CRLF}Host: gateway${CRLF}X-Auth-Acr: aal2${CRLF}Authorization: Bearer ${token}${CRLF}Connection: close${CRLF}${CRLF}`,
      );
      t.same(statuses(answer), [401], path);
      t.match(answer, /"code":"insufficient_user_authentication"/, path);
      t.equal(answer.split(challenge).length - 1, 1, path);
    }
    const missing = await call(`${base}/notes/vault`, undefined, { method: 'POST', body: { text: 'x' } });
    t.match(missing, { status: 401, body: { code: 'missing_token' } });
    t.equal(missing.headers.get('www-authenticate'), 'Bearer');
    t.equal(notes.seen.length, 0);

    const client = createAuthClient({ baseUrl: base });
    const { secret } = await client.startTotp(token);
    // Its clock is ours, and it knows how codes are made.
    await client.confirmTotp(token, { totp: createTestIssuer().totpCode(secret) });
    const strong = await client.refresh(refreshToken);
    const post = { method: 'POST', body: { text: 'x' }, ...forged };
    t.equal((await call(`${base}/notes/vault/x?y=1`, strong.token, post)).status, 200);
    const [seen] = notes.seen;
    t.match(seen, { method: 'POST', url: '/notes/vault/x?y=1', body: '{"text":"x"}' });
    t.match(seen?.headers, { 'x-auth-acr': 'aal2', 'x-auth-user-id': user.id, 'x-auth-username': user.username });
  },

  async 'what a service has for the inside stays inside'(t, gateway, { authUrl, notesUrl, signUp }) {
    const [auth, notes] = [await startRecorder(t, authUrl), await startRecorder(t, notesUrl)];
    const base = await gateway.start(t, { auth: [auth.url], notes: [notes.url] });
    const { token } = await signUp();
    const inside = [
      '/metrics',
      '/readyz',
      '/livez',
      '/docs',
      '/docs/',
      '/docs/static/index.html',
      '/openapi.json',
      '/',
    ];
    const targets = [
      ...inside,
      ...['/metrics', '/docs/'].flatMap(path => [
        `/auth/..${path}`,
        `/auth/%2e%2e${path}`,
        `/auth/..%2f${path.slice(1)}`,
        `/auth/..;${path}`,
        `/auth/x/../..${path}`,
        `/auth\\..${path}`,
        `/auth/..%5c${path.slice(1)}`,
        `/notes/..${path}`,
        `/.well-known/..${path}`,
        `${path}/../auth/me`,
        `${path}/../../auth/me`,
        `/${path}`,
        `http://gateway${path}`,
        `${path}?/auth/`,
        `${path}#/auth/`,
        `${path}%00/auth/`,
      ]),
      ...['//notes', '/./notes', '/auth/../notes', '/x/%2e%2e/notes', '/notes/../notes/x'],
      ...['/docs/static/../../auth/me', '/docs/static/..%2f..%2fauth/me', '/docs/static/%2e%2e/%2e%2e/auth/me'],
      ...[
        '/_verify',
        '/%5fverify',
        '//_verify',
        '/auth/../_verify',
        '/_refused',
        '/AUTH/me',
        '/NOTES',
        '/authx',
        '/notesx',
      ],
    ];
    for (const target of targets) {
      auth.seen.length = notes.seen.length = 0;
      const head = `GET ${target} HTTP/1.1${CRLF}Host: gateway${CRLF}Authorization: Bearer ${token}${CRLF}`;
      const answer = await sendRaw(base, `${head}Connection: close${CRLF}${CRLF}`);
      const urls = auth.seen.map(({ url }) => url).filter(url => url !== '/auth/verify');
      for (const url of urls)
        t.match(url, /^\/(auth\/|oauth\/|\.well-known\/(jwks\.json|oauth-|openid-configuration$|webauthn$))/, target);
      for (const { url } of notes.seen) t.match(url, /^\/notes(\/|\?|$)/, target);
      for (const url of urls) t.notMatch(url.split('?', 1)[0], /\/\/|\/\.\.?(\/|$)|%2e|%2f|%5c/i, `${target}: ${url}`);
      t.notMatch(answer, /swagger|openapi|process_cpu|"status":"ok"/, target);
      if (inside.includes(target)) t.same(statuses(answer), [404], target);
    }
  },

  async 'nobody comes to the notes of others on a crooked path'(t, gateway, { authUrl, notesUrl, signUp }) {
    const notes = await startRecorder(t, notesUrl);
    const base = await gateway.start(t, { auth: [authUrl], notes: [notes.url] });
    const { token } = await signUp();
    await call(`${notesUrl}/notes`, token, { method: 'POST', body: { text: 'canary' } });
    const targets = [
      ...[
        '/notes',
        '//notes',
        '/./notes',
        '/notes/',
        '/%6eotes',
        '/auth/../notes',
        '/auth/..%2fnotes',
        '/auth/%2e%2e/notes',
      ],
      ...[
        '/notes;x',
        '/notes%3fx',
        '/notes%00',
        '/notes%2f',
        '/notes%0d%0aX-Auth-User-Id:%20root',
        '/NOTES',
        '/notes?/auth/',
      ],
      ...[
        'http://gateway/notes',
        'http://gateway//notes',
        'https://auth-service/notes',
        '*',
        'notes',
        '/auth/\\../notes',
      ],
      ...['/.well-known/jwks.json/../../notes', '/.well-known/jwks.json/..%2f..%2fnotes', '/oauth/..;/notes'],
    ];
    for (const target of targets) {
      // HTTP/0.9 has neither version nor header fields.
      for (const version of target === '/notes' ? ['HTTP/1.1', 'HTTP/1.0', ''] : ['HTTP/1.1', 'HTTP/1.0']) {
        notes.seen.length = 0;
        const head = version === '' ? `GET ${target}${CRLF}` : `GET ${target} ${version}${CRLF}Host: gateway${CRLF}`;
        const answer = await sendRaw(base, `${head}Connection: close${CRLF}${CRLF}`, version === '' ? 300 : undefined);
        t.notMatch(answer, /canary/, `${target} ${version}`);
        t.ok(!statuses(answer).includes(200), `${target} ${version}`);
        if (gateway.can.includes('ask')) t.equal(notes.seen.length, 0, `${target} ${version}`);
        for (const { headers } of notes.seen) t.equal(headers['x-auth-user-id'], undefined);
      }
    }
    const old = `GET /notes HTTP/1.0${CRLF}Authorization: Bearer ${token}${CRLF}${CRLF}`;
    t.match(
      await sendRaw(base, old),
      /^HTTP\/1\.[01] 200 .*canary/s,
      'HTTP/1.0 without Host is served too, or refused',
    );
  },

  async 'one request is one request'(t, gateway, { authUrl, notesUrl, signUp }) {
    const notes = await startRecorder(t, notesUrl);
    const base = await gateway.start(t, { auth: [authUrl], notes: [notes.url] });
    const { token } = await signUp();
    await call(`${notesUrl}/notes`, token, { method: 'POST', body: { text: 'canary' } });
    const get = (...lines: string[]) =>
      `${['GET /notes HTTP/1.1', 'Host: gateway', ...lines].join(CRLF)}${CRLF}${CRLF}`;
    const authorized = `Authorization: Bearer ${token}`;

    const pipelined = await sendRaw(base, get(authorized) + get() + get(authorized) + get('Connection: close'), 2000);
    t.same(statuses(pipelined), [200, 401, 200, 401], 'each has a judgement of its own');
    t.equal(pipelined.split('canary').length - 1, 2);

    const hidden = `DELETE /notes/x HTTP/1.1${CRLF}Host: x${CRLF}X-Auth-User-Id: root${CRLF}${CRLF}`;
    const post = (lines: string[], body: string) => {
      const head = ['POST /notes HTTP/1.1', 'Host: gateway', authorized, 'Content-Type: application/json', ...lines];
      return `${head.join(CRLF)}${CRLF}${CRLF}${body}`;
    };
    const chunked = 'Transfer-Encoding: chunked';
    const crooked: [name: string, text: string][] = [
      ['CL.TE', post([`Content-Length: ${hidden.length + 5}`, chunked], `0${CRLF}${CRLF}${hidden}`)],
      ['TE.CL', post([chunked, 'Content-Length: 4'], `5c${CRLF}${hidden}`)],
      ['two lengths', post(['Content-Length: 0', `Content-Length: ${hidden.length}`], hidden)],
      ['a list of lengths', post([`Content-Length: 0, ${hidden.length}`], hidden)],
      ['a signed length', post([`Content-Length: +${hidden.length}`], hidden)],
      ['a hexadecimal length', post(['Content-Length: 0x10'], hidden)],
      [
        'space before the colon',
        post(['Transfer-Encoding : chunked', 'Content-Length: 5'], `0${CRLF}${CRLF}${hidden}`),
      ],
      ['another coding', post(['Transfer-Encoding: xchunked', 'Content-Length: 5'], `0${CRLF}${CRLF}${hidden}`)],
      ['identity', post(['Transfer-Encoding: chunked, identity'], `0${CRLF}${CRLF}${hidden}`)],
      ['vertical tab', post(['Transfer-Encoding: \x0bchunked', 'Content-Length: 5'], `0${CRLF}${CRLF}${hidden}`)],
      ['chunked twice', post([chunked, chunked], `0${CRLF}${CRLF}${hidden}`)],
      ['a chunk extension', post([chunked], `0;\n${CRLF}${CRLF}${hidden}`)],
      ['a chunk size too large', post([chunked], `fffffffffffffffff${CRLF}${hidden}`)],
      ['a negative chunk size', post([chunked], `-1${CRLF}${CRLF}${hidden}`)],
      ['HTTP/1.0 with chunks', post([chunked], `0${CRLF}${CRLF}${hidden}`).replace('HTTP/1.1', 'HTTP/1.0')],
      ['a body with GET', post([`Content-Length: ${hidden.length}`], hidden).replace('POST', 'GET')],
      [
        'a trailer',
        post([chunked, 'Trailer: X-Auth-User-Id'], `2${CRLF}{}${CRLF}0${CRLF}X-Auth-User-Id: root${CRLF}${CRLF}`),
      ],
      [
        'an upgrade',
        get(authorized, 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABk'),
      ],
    ];
    for (const [name, text] of crooked) {
      notes.seen.length = 0;
      const answer = await sendRaw(base, text, 300);
      // What follows a whole request may be another one, but then the gateway has seen it and given it an id.
      const ids = new Set(notes.seen.map(({ headers }) => headers['x-request-id']));
      t.equal(ids.size, notes.seen.length, name);
      if (gateway.can.includes('ask')) t.ok(notes.seen.length <= 1, `${name}: nothing that has no token`);
      for (const { headers, rawHeaders } of notes.seen) {
        t.notMatch(JSON.stringify(rawHeaders).replace(token, ''), /root/, name);
        t.notOk(headers.upgrade, name);
        t.notOk(headers['transfer-encoding'] && headers['content-length'], name);
      }
      t.notMatch(answer, /101 Switching/, name);
    }
  },

  async 'what a client sends takes no replica out'(t, gateway, { authUrl, notesUrl }) {
    const base = await gateway.start(t, { auth: [authUrl, authUrl], notes: [notesUrl] });
    const post = (size: number, extra = '') =>
      `POST /auth/sign-in HTTP/1.1${CRLF}Host: gateway${CRLF}Content-Type: application/json${CRLF}${extra}Content-Length: ${size}${CRLF}Connection: close${CRLF}${CRLF}${'x'.repeat(size)}`;
    const cases: [name: string, text: string, expected: number[]][] = [
      // The answer comes before all is sent; what is sent after it may make the kernel forget it.
      ['a large body', post(1_000_000), [413, 0]],
      ['a body that is just too large', post(16 * 1024 + 1), [413]],
      ['a body that is just not too large', post(16 * 1024), [400]],
      ['large header fields', post(2, `X-Large: ${'y'.repeat(20_000)}${CRLF}`), [400, 431]],
      ['many header fields', post(2, `X-Many: ${'y'.repeat(100)}${CRLF}`.repeat(180)), [400, 431]],
      ['a long target', `GET /auth/${'z'.repeat(20_000)} HTTP/1.1${CRLF}Host: x${CRLF}${CRLF}`, [400, 414, 431]],
    ];
    for (const [name, text, expected] of cases) {
      // Many at once, for it is a race whether a gateway reads the refusal before the end of the connection.
      for (let i = 0; i < 5; i++) {
        const answers = await Promise.all(Array.from({ length: 8 }, () => sendRaw(base, text)));
        for (const answer of answers) {
          const [status = 0] = statuses(answer);
          t.ok(expected.includes(status), `${name}: ${status}`);
        }
        t.equal((await call(`${base}/.well-known/jwks.json`)).status, 200, `${name}: the replicas are still there`);
      }
    }
  },

  async 'a replica that is not there is not missed'(t, gateway, { authUrl, notesUrl, signUp }) {
    const gone = `http://127.0.0.1:${await getPort({ host: '127.0.0.1' })}`;
    const base = await gateway.start(t, { auth: [gone, authUrl], notes: [gone, notesUrl] });
    for (let i = 0; i < 4; i++) {
      let { token, refreshToken, user } = await signUp();
      const newPassword = `${PASSWORD}!`;
      const change = { method: 'PUT', body: { currentPassword: PASSWORD, newPassword } };
      const changed = await call(`${base}/auth/password`, token, change);
      t.equal(changed.status, 200);
      ({ token, refreshToken } = changed.body);
      const calls: [path: string, method: string, body: unknown, status: number][] = [
        ['/auth/sign-up', 'POST', { username: `x${randomUUID()}`, password: PASSWORD }, 201],
        ['/auth/sign-in', 'POST', { username: user.username, password: newPassword }, 200],
        ['/auth/refresh', 'POST', { refreshToken }, 200],
        ['/auth/me', 'GET', undefined, 200],
        ['/notes', 'POST', { text: 'x' }, 201],
        ['/notes', 'GET', undefined, 200],
      ];
      for (const [path, method, body, status] of calls) {
        t.equal((await call(base + path, token, { method, body })).status, status, `${method} ${path}`);
      }
    }
  },

  async 'what may have been done is done again only where that is safe'(t, gateway, { authUrl, notesUrl, signUp }) {
    const [auth, notes] = [await startRecorder(t, authUrl), await startRecorder(t, notesUrl)];
    // As one that is killed does.
    const breakOff = () => undefined;
    const [brokenAuth, brokenNotes] = [await startRecorder(t, breakOff), await startRecorder(t, breakOff)];
    const { token, user } = await signUp();

    // Each with a gateway that has seen no failure yet; the gateway decides which replica it asks first.
    const attempt = async (path: string, init: { method: string; body: unknown; headers?: Record<string, string> }) => {
      const base = await gateway.start(t, {
        auth: path.startsWith('/auth/') ? [brokenAuth.url, auth.url] : [auth.url],
        notes: [brokenNotes.url, notes.url],
      });
      for (const { seen } of [auth, notes, brokenAuth, brokenNotes]) seen.length = 0;
      const answers = [];
      // HAProxy just closes a connection that has had answers before.
      const closed = { status: 502, headers: new Headers() };
      for (let i = 0; i < 4; i++) answers.push(await call(base + path, token, init).catch(() => closed));
      const of = (seen: Seen[]) => seen.filter(({ url, method }) => url === path && method === init.method);
      return {
        answers,
        broken: of([...brokenAuth.seen, ...brokenNotes.seen]),
        whole: of([...auth.seen, ...notes.seen]),
      };
    };

    const { username } = user;
    const signIn = await attempt('/auth/sign-in', { method: 'POST', body: { username, password: PASSWORD } });
    t.ok(signIn.broken.length > 0);
    if (gateway.can.includes('resend'))
      t.same(
        signIn.answers.map(({ status }) => status),
        [200, 200, 200, 200],
      );

    const body = { username: `x${randomUUID()}`, password: PASSWORD };
    const signUps = await attempt('/auth/sign-up', { method: 'POST', body });
    const keys = [...signUps.broken, ...signUps.whole].map(({ headers }) => headers['idempotency-key']);
    if (gateway.can.includes('resend')) {
      t.equal(signUps.answers[0]?.status, 201);
      for (const key of keys) t.match(key, /^"[0-9a-f-]{32,36}"$/);
      t.ok(new Set(keys).size < keys.length, 'the second try has the key of the first');
    }
    const own = await attempt('/auth/sign-up', { method: 'POST', body, headers: { 'idempotency-key': '"mine"' } });
    for (const { headers } of [...own.broken, ...own.whole]) t.equal(headers['idempotency-key'], '"mine"');

    const change = { currentPassword: 'wrong', newPassword: 'wrong too 42' };
    const post = (path: string): [path: string, method: string, body: unknown] => [path, 'POST', { totp: 'x' }];
    const once: [path: string, method: string, body: unknown][] = [
      ['/auth/password', 'PUT', change],
      ['/notes', 'POST', { text: 'once' }],
      ...['/auth/step-up', '/auth/totp/confirm', '/auth/passkeys', '/auth/sign-up/passkey'].map(path => post(path)),
      ...['/auth/sign-in/second-factor', '/auth/sign-in/passkey'].map(path => post(path)),
    ];
    for (const [path, method, body] of once) {
      const { answers, broken, whole } = await attempt(path, { method, body });
      t.ok(broken.length > 0, path);
      t.equal(broken.length + whole.length, answers.length, `${path} is sent once a call`);
      const failed = answers.filter(({ status }) => status >= 500);
      t.equal(failed.length, broken.length);
      for (const { status, headers } of failed) {
        t.equal(status, 502);
        t.equal(headers.get('retry-after'), null, 'nobody is invited to do it again');
      }
    }
  },

  async 'a refusal with Retry-After is passed on, and nobody else is asked'(t, gateway, { notesUrl }) {
    const full = await startRecorder(t, ({ url }) => {
      return { status: Number(url.slice(-3)) || 200, headers: { 'retry-after': '7' }, body: '{"full":true}' };
    });
    const base = await gateway.start(t, { auth: [full.url, full.url], notes: [notesUrl] });
    for (const status of [503, 429]) {
      for (const method of ['POST', 'GET']) {
        full.seen.length = 0;
        const answer = await call(`${base}/auth/sign-in?status=${status}`, undefined, { method });
        t.equal(answer.status, status);
        t.equal(answer.headers.get('retry-after'), '7');
        t.match(answer.body, { full: true });
        t.equal(full.seen.length, 1);
      }
    }
  },

  async 'replicas restart and nobody notices'(t, gateway, { notesUrl, startReplica }) {
    const replicas = [await startReplica(), await startReplica()];
    const base = await gateway.start(t, { auth: replicas.map(({ url }) => url), notes: [notesUrl] });
    const failures: string[] = [];
    let calls = 0;
    let over = false;
    const expect = async (status: number, path: string, token?: string, method = 'GET', body?: unknown) => {
      calls++;
      const answer = await call(base + path, token, { method, body }).catch(error => ({
        status: 0,
        body: error.cause,
      }));
      if (answer.status !== status) failures.push(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      return answer.body;
    };
    const live = async () => {
      const username = `x${randomUUID()}`;
      let password = PASSWORD;
      await expect(201, '/auth/sign-up', undefined, 'POST', { username, password });
      while (!over) {
        let { token, refreshToken } =
          (await expect(200, '/auth/sign-in', undefined, 'POST', { username, password })) ?? {};
        ({ token, refreshToken } = (await expect(200, '/auth/refresh', undefined, 'POST', { refreshToken })) ?? {});
        await expect(200, '/auth/me', token);
        await expect(200, '/notes', token);
        const change = { currentPassword: password, newPassword: `${PASSWORD} ${calls}` };
        ({ token } = (await expect(200, '/auth/password', token, 'PUT', change)) ?? {});
        password = change.newPassword;
        await expect(204, '/auth/sign-out', token, 'POST', {});
        await pause(100);
      }
    };
    const lives = [live(), live(), live()];
    for (const [i, replica] of replicas.entries()) {
      await pause(500);
      replica.process.kill('SIGTERM');
      await once(replica.process, 'close');
      replicas[i] = await startReplica(Number(new URL(replica.url).port));
      // As orchestrators do, the next one goes only when this one is known to be ready.
      await pause(1000);
    }
    over = true;
    await Promise.all(lives);
    t.same(failures, []);
    t.ok(calls > 50, `${calls} calls`);
  },

  async 'when auth-service is away the gateway says so, and recovers'(
    t,
    gateway,
    { authUrl, notesUrl, auth, signUp, startReplica },
  ) {
    const base = await gateway.start(t, { auth: [authUrl], notes: [notesUrl] });
    const { token } = await signUp();
    t.equal((await call(`${base}/notes`, token)).status, 200);
    auth.kill('SIGKILL');
    await once(auth, 'close');
    const paths = gateway.can.includes('ask') ? ['/auth/me', '/notes'] : ['/auth/me'];
    for (const path of paths) {
      const answer = await call(`${base}${path}`, token);
      t.ok([502, 503].includes(answer.status), path);
      if (gateway.can.includes('explain')) {
        t.match(answer, { status: 503, body: { code: 'service_unavailable' } }, path);
        t.equal(answer.headers.get('retry-after'), '1', path);
      }
    }
    if (!gateway.can.includes('ask'))
      t.equal((await call(`${base}/notes`, token)).status, 200, 'the notes go on with the keys they have');
    await startReplica(Number(new URL(authUrl).port));
    const before = performance.now();
    while ((await call(`${base}/auth/me`, token)).status !== 200 && performance.now() - before < 5000);
    t.ok(performance.now() - before < 5000, 'within 5 s');
    t.equal((await call(`${base}/notes`, token)).status, 200);
  },
};
