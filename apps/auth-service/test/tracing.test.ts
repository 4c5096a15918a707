import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { startTracing } from '@latchkey/tracing';
import { type ReceivedSpan, startCollector } from '@latchkey/tracing/testing';
import t, { type Test } from 'tap';
import { call, createDatabase, get, newCredentials, post, startService, until } from './helper.js';

const collector = await startCollector();
t.teardown(() => collector.close());
process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = collector.url;
process.env['OTEL_BSP_SCHEDULE_DELAY'] = '50';
process.env['OTEL_RESOURCE_ATTRIBUTES'] = 'deployment.environment.name=test';
await startTracing('auth-service');

async function spanOf(name: string, holds: (span: ReceivedSpan) => boolean = () => true): Promise<ReceivedSpan> {
  const find = () => collector.spans().find(span => span.name === name && holds(span));
  await until(async () => find() !== undefined, `the span ${name}`);
  return find() as ReceivedSpan;
}
const childrenOf = ({ spanId }: ReceivedSpan) =>
  collector.spans().filter(({ parentSpanId }) => parentSpanId === spanId);

t.test('a request is a span by its route, with its queries below, and its log lines know it', async t => {
  const { base, logs } = await startService(t);
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const parent = 'b7ad6b7169203331';
  const headers = { traceparent: `00-${traceId}-${parent}-01`, tracestate: 'vendor=1' };
  const answer = await post(`${base}/auth/sign-up?secret=canary`, newCredentials(), headers);
  t.equal(answer.status, 201);

  const span = await spanOf('POST /auth/sign-up');
  t.match(span, {
    ...{ service: 'auth-service', traceId, parentSpanId: parent, kind: 2, isError: false },
    attributes: { 'http.route': '/auth/sign-up', 'http.response.status_code': 201, 'http.request.method': 'POST' },
  });
  t.equal(span.attributes['latchkey.request_id'], answer.headers.get('x-request-id'));
  const isInsert = ({ attributes }: { attributes: Record<string, unknown> }) =>
    /INSERT INTO auth.users/.test(String(attributes['db.query.text']));
  await until(async () => childrenOf(span).some(isInsert), 'the queries are its children');
  const lines = logs.filter(line => /"reqId"/.test(line));
  t.ok(lines.length >= 3);
  for (const line of lines) t.match(JSON.parse(line), { trace_id: traceId, span_id: span.spanId });
});

t.test('requests that run at once keep to their own traces, however few connections there are', async t => {
  const { app, base } = await startService(t);
  app.pg.pool.options.max = 1;
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  const answers = await Promise.all(Array.from({ length: 20 }, () => get(`${base}/auth/me`, body.token)));
  for (const { status, headers } of answers) {
    t.equal(status, 200);
    const span = await spanOf(
      'GET /auth/me',
      one => one.attributes['latchkey.request_id'] === headers.get('x-request-id'),
    );
    const queries = () => childrenOf(span).filter(({ name }) => /^pg.query:/.test(name));
    await until(async () => queries().length > 0, 'its query');
    t.equal(queries().length, 1);
  }
});

t.test('what nobody wants to see is no span', async t => {
  const { base } = await startService(t);
  await get(`${base}/livez`);
  await get(`${base}/readyz`);
  // Long enough for the feeds to ask the database.
  await new Promise(resolve => setTimeout(resolve, 1500));
  await get(`${base}/nowhere/canary`);
  await spanOf('GET', span => span.attributes['http.response.status_code'] === 404);
  const spans = collector.spans();
  t.notOk(spans.some(({ name }) => /livez|readyz/.test(name)));
  for (const { name, parentSpanId } of spans) if (/^pg/.test(name)) t.not(parentSpanId, '', name);
  for (const body of collector.bodies) t.notMatch(body.toString('latin1'), /canary/);
});

t.test('errors are told of without their messages', async t => {
  const { base, sql } = await startService(t);
  await sql('ALTER TABLE auth.users RENAME TO canary');
  t.equal((await post(`${base}/auth/sign-in`, newCredentials())).status, 500);
  const span = await spanOf('POST /auth/sign-in', ({ isError }) => isError);
  await until(async () => childrenOf(span).some(({ isError }) => isError), 'the query that failed');
  t.equal((await post(`${base}/auth/sign-up`, '{"canary')).status, 400);
  const refused = await spanOf('POST /auth/sign-up', one => one.attributes['http.response.status_code'] === 400);
  t.equal(refused.isError, false, 'a fault of the caller');
  const bytes = collector.bodies.map(body => body.toString('latin1')).join();
  t.match(bytes, /PostgreSQL error of type 'error' occurred \(code: 42P01\)/);
  t.notMatch(bytes, /canary|does not exist/);
});

t.test('a caller who goes away ends the span', async t => {
  const { base, app } = await startService(t, { bcryptCost: 12 });
  const url = new URL(`${base}/auth/sign-in`);
  const outgoing = request(url, { method: 'POST', headers: { 'content-type': 'application/json' } });
  outgoing.on('error', () => undefined).end(JSON.stringify(newCredentials()));
  await until(async () => app.hashLane.state().running > 0, 'a hash runs');
  outgoing.destroy();
  await spanOf('POST /auth/sign-in', ({ attributes }) => attributes['error.type'] === 'caller_gone');
});

t.test('a made-up or broken parent is no parent', async t => {
  const { base } = await startService(t);
  for (const traceparent of ['00-canary-canary-01', `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01`, 'x'.repeat(5000)]) {
    const { headers } = await call(`${base}/auth/me`, { headers: { traceparent } });
    const id = headers.get('x-request-id');
    const span = await spanOf('GET /auth/me', one => one.attributes['latchkey.request_id'] === id);
    t.equal(span.parentSpanId, '');
  }
});

/** Runs the built service as its own process. */
async function run(t: Test, otel: Record<string, string>) {
  const child = spawn(process.execPath, [fileURLToPath(new URL('../dist/server.js', import.meta.url))], {
    env: {
      ...{
        NODE_ENV: 'production',
        HOST: '127.0.0.1',
        PORT: '0',
        BCRYPT_COST: '4',
        SHUTDOWN_DELAY_MS: '0',
        PUBLIC_URL: 'https://auth.example.com',
      },
      ...{ AUTH_SECRETS: `one:${randomBytes(32).toString('base64')}`, DATABASE_URL: await createDatabase(), ...otel },
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', chunk => {
    output += chunk;
  });
  const listening = () => /listening at (http:[^"]+)/.exec(output)?.[1];
  await until(async () => listening() !== undefined, 'the service listens');
  return { child, output: () => output, base: listening() as string };
}

t.test('what is not exported yet is exported at the end', async t => {
  const last = await startCollector();
  t.teardown(() => last.close());
  const { child, base } = await run(t, {
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: last.url, OTEL_SERVICE_NAME: 'doorman', OTEL_BSP_SCHEDULE_DELAY: '600000' },
  });
  t.equal((await post(`${base}/auth/sign-up`, newCredentials())).status, 201);
  t.equal(last.bodies.length, 0);
  child.kill('SIGTERM');
  t.same(await once(child, 'exit'), [0, null]);
  t.ok(last.spans().some(({ name, service }) => name === 'POST /auth/sign-up' && service === 'doorman'));
});

t.test('a collector that is not there harms nobody, and is told of once', async t => {
  const { child, base, output } = await run(t, {
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_BSP_SCHEDULE_DELAY: '20' },
    ...{ OTEL_EXPORTER_OTLP_HEADERS: 'authorization=canary', OTEL_EXPORTER_OTLP_TIMEOUT: '100' },
  });
  const startedAt = performance.now();
  for (let i = 0; i < 100; i++) t.equal((await get(`${base}/auth/me`)).status, 401);
  await until(async () => /cannot export traces/.test(output()), 'the warning');
  for (let i = 0; i < 100; i++) await get(`${base}/auth/me`);
  t.ok(performance.now() - startedAt < 10_000);
  child.kill('SIGTERM');
  t.same(await once(child, 'exit'), [0, null]);
  t.equal(output().split('cannot export traces').length - 1, 1);
  t.notMatch(output(), /canary/);
});
