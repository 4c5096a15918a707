import * as contract from '@latchkey/user-schema';
import { PROBLEM_CODES } from '@latchkey/user-schema';
import { Kind } from '@sinclair/typebox';
import t from 'tap';
import { assertDocumented, codesOf } from './documented.js';
import { get, post, startService } from './helper.js';

const PASSKEYS = { publicUrl: 'https://auth.example.com' };
/** Of requests that reach no operation. */
const ELSEWHERE = ['headers_too_large', 'method_not_allowed', 'request_timeout'];

t.test('every operation has a name of its own, says who may call it, and lists its errors', async t => {
  const { base } = await startService(t, PASSKEYS);
  const { paths } = (await get(`${base}/openapi.json`)).body;
  const operations: any[] = Object.values(paths).flatMap((methods: any) => Object.values(methods));
  t.ok(operations.length > 35);
  const ids = operations.map(({ operationId }) => operationId);
  for (const id of ids) t.match(id, /^[a-z]+[A-Za-z]*$/);
  t.equal(new Set(ids).size, ids.length);

  const listed = new Set<string>();
  for (const operation of operations) {
    const { operationId, responses, security } = operation;
    t.ok(Array.isArray(security), operationId);
    for (const [status, { description, headers }] of Object.entries<any>(responses)) {
      const what = `${operationId} ${status}`;
      t.match(headers, { 'x-request-id': Object, 'cache-control': Object }, what);
      if (Number(status) < 400) continue;
      const codes = codesOf(operation, Number(status));
      t.ok(codes.length > 0, what);
      for (const code of codes) {
        t.match(description, `\`${code}\``, what);
        listed.add(code);
      }
      if (status === '401') t.ok(headers['www-authenticate'], what);
      if (status === '429' || status === '503') t.ok(headers['retry-after'], what);
    }
  }
  t.same([...listed, ...ELSEWHERE].sort(), [...PROBLEM_CODES].sort());
});

t.test('an account, its session and its tokens each have one name', async t => {
  const { base } = await startService(t, { passwordMinLength: 12 });
  const { paths, components } = (await get(`${base}/openapi.json`)).body;
  const schemaOf = (path: string, method: string, status: number) =>
    paths[path][method].responses[status].content['application/json'].schema;
  const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
  t.same(schemaOf('/auth/me', 'get', 200), ref('User'));
  t.same(schemaOf('/auth/sign-in', 'post', 200), ref('SignedIn'));
  t.same(schemaOf('/auth/sign-up', 'post', 201), ref('SignedIn'));
  t.same(components.schemas.SignedIn.properties.user, ref('User'));
  t.same(components.schemas.Sessions.properties.sessions.items, ref('Session'));
  t.match(components.schemas.NewPassword, { minLength: 12, maxLength: 256 }, 'as the setting says');
  t.match(components.schemas.Username, { minLength: 3, maxLength: 64, 'x-message': String });
  t.same(
    Object.keys(paths['/auth/verify'].get.responses['200'].headers)
      .filter(name => /^x-auth/.test(name))
      .sort(),
    ['x-auth-acr', 'x-auth-session-id', 'x-auth-user-id', 'x-auth-username'],
  );

  const names = new Map<string, string[]>();
  for (const [name, schema] of Object.entries(contract)) {
    if (typeof schema !== 'object' || !(Kind in schema)) continue;
    const text = JSON.stringify(schema);
    names.set(text, [...(names.get(text) ?? []), name]);
  }
  t.ok(names.size > 50);
  const alike = [...names.values()].filter(({ length }) => length > 1);
  t.same(alike, [], 'no two schemas are the same, or the name would be a matter of luck');
});

t.test('each example is the problem that the service responds with', async t => {
  const { base } = await startService(t);
  const { components, paths } = (await get(`${base}/openapi.json`)).body;
  const credentials = { username: 'nobody-here', password: 'open sesame 42' };
  const answer = await post(`${base}/auth/sign-in`, credentials);
  const example = paths['/auth/sign-in'].post.responses['401'].content['application/problem+json'].examples;
  const { value } = components.examples[example.invalid_credentials.$ref.split('/').at(-1)];
  t.same({ ...answer.body, requestId: '' }, { ...value, requestId: '' });
});

t.test('a response with a code that the document does not have fails a test', async t => {
  const { base } = await startService(t);
  await assertDocumented(`${base}/auth/sign-in`, 'POST', 401, { code: 'invalid_credentials' });
  await assertDocumented(`${base}/nothing`, 'GET', 404, { code: 'not_found' });
  for (const [status, code] of [
    [400, 'invalid_credentials'],
    [401, 'invalid_passkey'],
    [404, 'not_found'],
  ] as const) {
    await t.rejects(assertDocumented(`${base}/auth/sign-in`, 'POST', status, { code }));
  }
});
