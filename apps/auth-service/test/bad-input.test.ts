import { connect } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { call, get, newCredentials, post, type Service, startService } from './helper.js';

let service: Service;
t.before(async () => {
  service = await startService(t);
});

const refused: [name: string, body: unknown, status: number, code: string][] = [
  ['an empty body', '', 400, 'invalid_json'],
  ['no JSON', '{"username":', 400, 'invalid_json'],
  ['bytes that are not UTF-8', Uint8Array.from([0x22, 0xff, 0xfe, 0x22]), 400, 'invalid_json'],
  ['an array', [], 400, 'invalid_request'],
  ['null', 'null', 400, 'invalid_request'],
  ['a text', '"text"', 400, 'invalid_request'],
  ['no members', {}, 400, 'invalid_request'],
  ['no password', { username: 'somebody' }, 400, 'invalid_request'],
  ['a number for a username', { username: 12345, password: 'open sesame 42' }, 400, 'invalid_request'],
  ['null for a password', { username: 'somebody', password: null }, 400, 'invalid_request'],
  ['a list for a password', { username: 'somebody', password: ['open sesame 42'] }, 400, 'invalid_request'],
  ['an unknown member', { username: 'somebody', password: 'open sesame 42', admin: true }, 400, 'invalid_request'],
  ['a member twice', '{"username":"a","password":"b","username":"c"}', 400, 'invalid_json'],
  [
    'a member twice, escaped',
    '{"username":"abc","password":"open sesame 42","user\\u006eame":"abc"}',
    400,
    'invalid_json',
  ],
  ['__proto__', '{"username":"somebody","password":"open sesame 42","__proto__":{}}', 400, 'invalid_json'],
  [
    '__proto__, escaped',
    '{"username":"somebody","password":"open sesame 42","\\u005f_proto__":{}}',
    400,
    'invalid_json',
  ],
  ['constructor', '{"username":"somebody","password":"x","constructor":{"prototype":{}}}', 400, 'invalid_json'],
  ['U+0000 in a username', { username: 'some\0body', password: 'open sesame 42' }, 400, 'invalid_request'],
  [
    'a lone surrogate in a password',
    '{"username":"somebody","password":"open sesame \\ud800"}',
    400,
    'invalid_request',
  ],
  ['a lone surrogate in a username', '{"username":"some\\udc00body","password":"open sesame"}', 400, 'invalid_request'],
  ['a username of 2', { username: 'ab', password: 'open sesame 42' }, 400, 'invalid_request'],
  ['a username of 65', { username: 'a'.repeat(65), password: 'open sesame 42' }, 400, 'invalid_request'],
  ['a username with a space', { username: 'some body', password: 'open sesame 42' }, 400, 'invalid_request'],
  ['a username with a newline', { username: 'somebody\n', password: 'open sesame 42' }, 400, 'invalid_request'],
  ['a look-alike username', { username: 'аdmin', password: 'open sesame 42' }, 400, 'invalid_request'],
  ['more than 16 KiB', { username: 'somebody', password: 'x'.repeat(16 * 1024) }, 413, 'payload_too_large'],
  ['deep nesting', '['.repeat(8000), 400, 'invalid_json'],
  ['deep valid nesting', `${'['.repeat(8000)}${']'.repeat(8000)}`, 400, 'invalid_request'],
];

for (const path of ['/auth/sign-up', '/auth/sign-in']) {
  t.test(`${path} refuses what is not its contract`, async t => {
    for (const [name, body, status, code] of refused) {
      const answer = await post(service.base + path, body);
      t.equal(answer.status, status, name);
      t.equal(answer.body.code, code, name);
      t.equal(answer.headers.get('content-type'), 'application/problem+json; charset=utf-8', name);
      t.equal(answer.body.requestId, answer.headers.get('x-request-id'), name);
    }
    const json = JSON.stringify(newCredentials());
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data',
      'application/jsonx',
      '',
    ]) {
      const { status, body } = await post(service.base + path, json, { 'content-type': type });
      t.equal(status, 415, type);
      t.equal(body.code, 'unsupported_media_type', type);
    }
    t.match(await call(service.base + path, { method: 'POST' }), { status: 400, body: { code: 'invalid_request' } });
  });
}

t.test('says what is wrong, and where', async t => {
  const { body } = await post(`${service.base}/auth/sign-up`, { username: 'a b', 'x/y~z': 1 });
  t.match(body.detail, /^body/);
  t.same(body.errors, [
    { pointer: '/password', reason: 'required', detail: 'This is required.' },
    { pointer: '/x~1y~0z', reason: 'unknown_member', detail: 'This is not a known member.' },
    { pointer: '/username', reason: 'pattern', detail: '3 to 64 characters: letters, digits and . _ @ + -' },
  ]);
});

t.test('each fault has a reason, and a sentence that a form can show', async t => {
  const username = '3 to 64 characters: letters, digits and . _ @ + -';
  const key = { 'idempotency-key': 'é' };
  const faults: [path: string, body: unknown, pointer: string, reason: string, detail: string, headers?: object][] = [
    ['sign-up', { username: 'ab' }, '/username', 'too_short', username],
    ['sign-up', { username: 'a'.repeat(65) }, '/username', 'too_long', username],
    ['sign-up', { username: 12345 }, '/username', 'type', username],
    ['sign-up', { email: 'ada' }, '/email', 'pattern', 'An e-mail address, such as ada@example.com.'],
    ['sign-up', { email: 'ada@x@y' }, '/email', 'pattern', 'An e-mail address, such as ada@example.com.'],
    ['sign-up', { email: 'ada@-.example' }, '/email', 'pattern', 'An e-mail address, such as ada@example.com.'],
    ['sign-up', { password: 'x'.repeat(7) }, '/password', 'too_short', 'The password needs at least 8 characters.'],
    ['sign-up', {}, '/idempotency-key', 'pattern', '1 to 255 visible ASCII characters, quoted or not.', key],
    ['sign-in', { username: 'a b' }, '/username', 'pattern', 'A username or an e-mail address.'],
    ['sign-in', [], '', 'type', 'This must be of type object.'],
    ['refresh', { refreshToken: 'x'.repeat(257) }, '/refreshToken', 'too_long', 'At most 256 characters.'],
    ['refresh', { refreshToken: null }, '/refreshToken', 'type', 'This must be of type string.'],
    ['sign-in/second-factor', { challenge: 'x', totp: '1' }, '/totp', 'pattern', 'Six digits.'],
    ...[{ challenge: 'x' }, { challenge: 'x', totp: '123456', recoveryCode: 'x' }].map((body, i) => {
      const detail = 'Send challenge, and one of totp, recoveryCode and passkey.';
      return ['sign-in/second-factor', body, '', i === 0 ? 'too_few' : 'too_many', detail] as never;
    }),
    ['sign-in/passkey', { response: { type: 'key' } }, '/response/type', 'not_allowed', 'This must be public-key.'],
  ];
  for (const [path, members, pointer, reason, detail, headers = {}] of faults) {
    const needsCredentials = !Array.isArray(members) && /^sign-(up|in)$/.test(path);
    const body = needsCredentials ? { ...newCredentials(), ...(members as object) } : members;
    const answer = await post(`${service.base}/auth/${path}`, body, headers as Record<string, string>);
    t.equal(answer.status, 400);
    const item = answer.body.errors.find((e: { pointer: string }) => e.pointer === pointer);
    t.same(item, { pointer, reason, detail }, `${path} ${JSON.stringify(members).slice(0, 40)}`);
  }
});

t.test('however much is wrong with a request, the answer is short', async t => {
  const members = (count: number, name: (i: number) => string) =>
    JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, i) => [name(i), 0])));
  const bodies = [
    members(2050, i => i.toString(36)),
    members(1, () => '~'.repeat(16_300)),
    members(20, i => `${i}${'/'.repeat(780)}`),
  ];
  for (const body of bodies) {
    t.ok(body.length > 15_000 && body.length <= 16 * 1024, 'it fills what a body may have');
    const answer = await post(`${service.base}/auth/sign-in`, body);
    t.match(answer, { status: 400, body: { code: 'invalid_request', errors: Array } });
    t.ok(answer.body.errors.length <= 10, `${answer.body.errors.length} errors`);
    t.ok(answer.text.length < 4096, `${answer.text.length} bytes`);
  }
});

const isNoPassword = (value: unknown) => typeof value !== 'string' || [...value].length < 8;

t.test('no body of any form is answered 5xx', async () => {
  const bodies = fc.oneof(
    fc.json(),
    fc.string({ unit: 'binary' }),
    // Not long enough to be one: with the right name it would be a sign-up.
    fc
      .record({ username: fc.string({ unit: 'binary' }), password: fc.anything().filter(isNoPassword) })
      .map(value => JSON.stringify(value)),
  );
  await fc.assert(
    fc.asyncProperty(bodies, fc.constantFrom('sign-up', 'sign-in'), async (body, path) => {
      const { status } = await post(`${service.base}/auth/${path}`, body ?? '');
      return status === 400 || status === 401;
    }),
    { numRuns: 500 },
  );
});

t.test('odd tokens are answered 401 with a challenge', async t => {
  const missing = await get(`${service.base}/auth/me`);
  t.equal(missing.status, 401);
  t.equal(missing.body.code, 'missing_token');
  t.equal(missing.headers.get('www-authenticate'), 'Bearer');
  for (const authorization of [
    'Bearer',
    'Bearer ',
    'Basic abc',
    'Bearer a b',
    'Bearer ..',
    `Bearer ${'a'.repeat(9000)}`,
  ]) {
    const { status, headers, body } = await call(`${service.base}/auth/verify`, { headers: { authorization } });
    t.equal(status, 401, authorization.slice(0, 20));
    t.equal(body.code, 'invalid_token');
    t.equal(headers.get('www-authenticate'), 'Bearer error="invalid_token"');
  }
});

t.test('what is not HTTP is answered with a problem too', async t => {
  const raw = (text: string) =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(Number(new URL(service.base).port), '127.0.0.1', () => socket.write(text));
      let answer = '';
      socket.setEncoding('utf8').on('data', chunk => {
        answer += chunk;
      });
      socket.on('close', () => resolve(answer)).on('error', reject);
    });
  t.match(await raw('NONSENSE canary-secret\r\n\r\n'), /^HTTP\/1.1 400 .*application\/problem\+json.*invalid_request/s);
  t.match(await raw(`GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1.1 431 .*headers_too_large/s);
  t.match(await get(`${service.base}/%`), { status: 400, body: { code: 'invalid_request' } });
  const long = await call(`${service.base}/auth/sessions/${'x'.repeat(500)}`, { method: 'DELETE' });
  t.match(long, { status: 400, body: { code: 'invalid_request' } });
  t.match(await get(`${service.base}/docs/static/nothing`), { status: 404, body: { code: 'not_found' } });
  for (const path of ['%00', '%5c..%5c', '..%2f']) {
    const { status, headers, body } = await get(`${service.base}/docs/static/${path}`);
    t.match({ status, body }, { status: /^40[034]$/, body: { code: /^(invalid_request|not_found)$/ } }, path);
    t.match(headers.get('content-type'), /^application\/problem\+json/, path);
  }
  const range = await call(`${service.base}/docs/static/index.css`, { headers: { range: 'bytes=99999999-' } });
  t.match(range, { status: 416, body: { code: 'invalid_request' } });
  const head =
    'POST /auth/sign-in HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n';
  const before = performance.now();
  t.match(await raw(`${head}{`), /^HTTP\/1.1 408 .*request_timeout/s, 'what does not arrive is not waited for');
  t.ok(performance.now() - before < 15_000);
  t.notMatch(service.logs.join(''), /canary-secret/);
});

t.test('nothing of all this left a row', async t => {
  const { rows } = await service.sql('SELECT count(*)::int AS count FROM auth.users');
  t.equal(rows[0].count, 0);
});
