import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Type } from '@sinclair/typebox';
import t from 'tap';
import { isDatabaseUnavailable, kindOfDatabaseError } from '#src/database/index.js';
import { describeError, toProblem } from '#src/http/index.js';
import { describeDatabaseUrlFault, explain, isCidr, keepSecret, readEnvironment, trustedProxies } from '#src/index.js';

t.test('reads settings and complains by name', async t => {
  const schema = Type.Object({
    PORT: Type.Integer({ default: 3000, description: 'the port' }),
    DATABASE_URL: Type.Optional(Type.String()),
  });
  t.same(readEnvironment(schema, { PORT: '80', DATABASE_URL: '', OTHER: 'x' }), {
    settings: { PORT: 80 },
    complaints: [],
  });
  t.same(readEnvironment(schema, {}).settings, { PORT: 3000 });
  t.same(readEnvironment(schema, { DATABASE_URI: 'x' }).complaints, [
    'DATABASE_URI is not a setting; did you mean DATABASE_URL?',
  ]);
  t.throws(() => readEnvironment(schema, { PORT: 'x' }), {
    name: 'ConfigError',
    message: /PORT: must be integer \(the port\)/,
  });
});

t.test('knows addresses and blocks', async t => {
  for (const block of ['10.0.0.0/8', '192.0.2.1', '::1', 'fd00::/8', '0.0.0.0/0']) t.ok(isCidr(block), block);
  for (const block of ['1', '', 'localhost', '10.0.0.0/33', '10.0.0.0/8/8', '10.0.0.0/', '10.0.0.0/-1', '::/129']) {
    t.notOk(isCidr(block), block);
  }
  const isTrusted = trustedProxies(['10.0.0.0/8', '192.0.2.1', 'fd00::/8']);
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '192.0.2.1', 'fd12::1']) t.ok(isTrusted(address), address);
  for (const address of ['11.0.0.1', '192.0.2.2', 'fe80::1', '', 'nonsense', undefined]) {
    t.notOk(isTrusted(address), address ?? 'none: the connection was reset');
  }
  t.notOk(trustedProxies([])('127.0.0.1'));
});

t.test('tells a database that is away from a fault of ours', async t => {
  const error = (code: string, message = '') => Object.assign(new Error(message), { code });
  for (const code of ['ECONNREFUSED', '57P01', '57P03', '08006', '53300', '25006'])
    t.ok(isDatabaseUnavailable(error(code)), code);
  for (const code of ['42P01', '23505', 'EACCES']) t.notOk(isDatabaseUnavailable(error(code)), code);
  t.ok(isDatabaseUnavailable(new Error('timeout exceeded when trying to connect')));
  t.ok(isDatabaseUnavailable(new Error('Connection terminated unexpectedly')));
  t.notOk(isDatabaseUnavailable('text'));
});

t.test('knows what an error says of the database', async t => {
  const error = (code: string, message = '') => Object.assign(new Error(message), code && { code });
  for (const [code, kind] of Object.entries({
    ...{ ENOTFOUND: 'unresolved', ECONNREFUSED: 'no-listener', ENOENT: 'no-socket', '42501': 'not-allowed' },
    ...{ '42P01': 'not-there', '28P01': 'login-refused', '3D000': 'no-database', '53300': 'no-connection-left' },
    ...{ '53100': 'no-room', '57P03': 'not-accepting', ECONNRESET: 'disconnected', ETIMEDOUT: 'silent' },
    ...{ '57014': 'too-late', '40P01': 'conflict', '25006': 'read-only', '58030': 'broken' },
  })) {
    t.equal(kindOfDatabaseError(error(code)), kind, code);
  }
  t.equal(kindOfDatabaseError(error('', 'Query read timeout')), 'silent');
  t.equal(kindOfDatabaseError(error('', 'the password has no SSL certificate')), undefined, 'by its words alone');
  t.equal(kindOfDatabaseError(error('23505')), undefined);
});

t.test('says at which step a connection failed', async t => {
  const url = 'postgresql://ada@db/notes';
  const refusal = (code: string, message: string) => explain(Object.assign(new Error(message), { code }), url);
  t.match(refusal('ENOTFOUND', 'getaddrinfo'), /the name db cannot be resolved/);
  t.match(refusal('08P01', 'no such user: ada'), /db:5432 refuses the role "ada"/, 'as PgBouncer says it');
  t.match(refusal('08P01', 'no such database: notes'), /there is no database "notes"/);
  t.match(refusal('08P01', 'server login failed'), /does not accept us now/);
  t.match(explain(new Error('The server does not support SSL connections'), url), /TLS fails/);
  t.match(explain(new Error('timeout expired'), url), /does not respond \(timeout expired\)/);
});

t.test('answers errors without their causes', async t => {
  const fault = describeError(new Error('canary: relation "users" does not exist'));
  t.match(fault, { status: 500, code: 'internal_error' });
  t.notMatch(fault.detail, /canary/);
  const away = describeError(Object.assign(new Error('canary'), { code: 'ECONNREFUSED' }));
  t.match(away, { status: 503, headers: { 'retry-after': '1' } });
  t.notMatch(away.detail, /canary/);
  const json = Object.assign(new Error('Unexpected token in "canary"'), {
    code: 'FST_ERR_CTP_INVALID_JSON_BODY',
    statusCode: 400,
  });
  t.match(describeError(json), { status: 400, code: 'invalid_json', detail: 'The body is not valid JSON.' });
  const aborted = Object.assign(new Error('aborted'), { code: 'ECONNRESET', statusCode: 400 });
  t.match(describeError(aborted), { status: 400, code: 'invalid_request' }, 'the caller went away, not the database');
  const foreign = Object.assign(new Error('Range Not Satisfiable'), { statusCode: 416 });
  t.match(describeError(foreign), { status: 416, code: 'invalid_request' });
  const expected = Object.assign(new Error('That username is taken.'), { code: 'USERNAME_TAKEN', statusCode: 409 });
  t.same(toProblem(describeError(expected), 'r1'), {
    type: 'urn:latchkey:problem:username_taken',
    title: 'Conflict',
    status: 409,
    detail: 'That username is taken.',
    code: 'username_taken',
    requestId: 'r1',
  });
});

t.test('explains why a service cannot start', async t => {
  const error = (code: string, message: string) => Object.assign(new Error(message), { code });
  t.match(
    explain(Object.assign(error('EADDRINUSE', ''), { port: 80, address: '::' })),
    /Port 80 of :: is in use. Set PORT/,
  );
  t.match(explain(error('ECONNREFUSED', 'connect ECONNREFUSED')), /does not respond \(connect ECONNREFUSED\)/);
  t.match(explain(error('28P01', 'password authentication failed')), /refuses us .*DATABASE_URL/);
  const denied = error('42501', 'permission denied');
  t.match(explain(denied), /may not do that \(permission denied\)\. Grant it/);
  t.match(explain(denied, '', 'Run notes migrate.'), /\(permission denied\)\. Run notes migrate\.$/);
  const both = Object.assign(new AggregateError([new Error('::1'), new Error('127.0.0.1')]), { code: 'ECONNREFUSED' });
  t.match(explain(both), /::1.*127\.0\.0\.1/);
});

t.test('says what is wrong with the URL of a database, and shows nothing of it', async t => {
  for (const url of [
    'postgresql://auth@db:5432/latchkey',
    'postgresql://auth:abc%2Fdef+ghi%3D=@db:5432/latchkey?sslmode=verify-full&user=a@b',
    'postgres://u:p@/db?host=/var/run/postgresql',
    'postgresql:///db?host=/tmp',
    'postgresql://[::1]:5432/db?application_name=a@b',
    'postgresql://%2Fvar%2Frun/db',
    'postgresql://u:a@b@db/x',
  ]) {
    t.equal(describeDatabaseUrlFault(url), undefined, url);
  }
  for (const password of [
    'can/ary',
    '12/canary',
    '12/3canary==',
    'can#ary',
    'can?ary',
    '1?canary',
    '100%canary',
    '/canary',
  ]) {
    const fault = describeDatabaseUrlFault(`postgresql://auth:${password}@db:5432/latchkey`);
    t.match(fault, /^is not a URL.*\/ is %2F.*PGPASSWORD/, password);
    t.notMatch(fault, /canary|12|auth/);
  }
  t.match(describeDatabaseUrlFault('postgresql://db:port/latchkey'), /^is not a URL\. /);
});

t.test('keeps a secret: the first of several who make it wins', async t => {
  const folder = join(t.testdir(), 'not', 'there');
  const file = join(folder, 'secret');
  let made = 0;
  const secrets = await Promise.all(Array.from({ length: 20 }, () => keepSecret(file, () => `secret-${++made}`)));
  t.equal(new Set(secrets).size, 1);
  t.match(secrets[0], /^secret-\d+$/);
  t.same(await readdir(folder), ['secret'], 'nothing else is left');
  if (process.platform !== 'win32') t.equal((await stat(file)).mode & 0o777, 0o600);
  t.equal(await readFile(file, 'utf8'), `${secrets[0]}\n`);
  await writeFile(file, 'of my own\n');
  t.equal(await keepSecret(file, () => 'another'), 'of my own');
  await t.rejects(
    keepSecret(folder, () => 'x'),
    { code: 'EISDIR' },
  );
});
