import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import getPort from 'get-port';
import t from 'tap';
import {
  call,
  createDatabase,
  get,
  newCredentials,
  post,
  startService,
  startWire,
  testConfig,
  until,
} from './helper.js';

const reader = (metricsPort: number) => {
  const text = async () => (await call(`http://127.0.0.1:${metricsPort}/metrics`)).text;
  const value = async (sample: string) => {
    const line = (await text()).split('\n').find(line => line.startsWith(`${sample} `));
    return line === undefined ? undefined : Number(line.slice(sample.length));
  };
  return { text, value };
};

t.test('metrics are told on a port of their own', async t => {
  const metricsPort = await getPort({ host: '127.0.0.1' });
  const { throttle } = await testConfig();
  const { base } = await startService(t, {
    ...{ metricsPort, bcryptCost: 10, hashWorkers: 1, hashMaxWaitMs: 0, passwordBreachUrl: 'http://127.0.0.1:1' },
    throttle: { ...throttle, enabled: true, pair: { quota: 1, windowS: 60 } },
  });
  const { text, value } = reader(metricsPort);
  const events = (labels: string) => value(`latchkey_auth_events_total{${labels}}`);
  const decisions = (limit: string, decision: string) =>
    value(`latchkey_throttle_decisions_total{limit="${limit}",decision="${decision}"}`);
  t.equal(await value('latchkey_hash_refusals_total'), 0);
  t.equal(await value('latchkey_ready'), 1);
  t.equal(await events('event="sign_in"'), 0, 'told before the first, so that an increase shows');
  t.equal(await decisions('pair', 'refused'), 0);

  const credentials = newCredentials();
  t.equal((await post(`${base}/auth/sign-up`, credentials)).status, 201);
  t.equal(await value('latchkey_breach_check_failures_total'), 1, 'nobody answers there');
  t.equal((await post(`${base}/auth/sign-in`, credentials)).status, 200);
  const wrong = { ...credentials, password: 'wrong' };
  t.equal((await post(`${base}/auth/sign-in`, wrong)).status, 401);
  t.equal((await post(`${base}/auth/sign-in`, wrong)).status, 429);
  t.equal(await value('latchkey_throttle_blocks_total{limit="pair"}'), 1);
  t.equal(await decisions('pair', 'refused'), 1);
  for (const limit of ['pair', 'account', 'address']) t.equal(await decisions(limit, 'allowed'), 2, limit);
  t.equal(await decisions('sign-up', 'allowed'), 1);
  t.equal(await events('event="sign_up"'), 1);
  t.equal(await events('event="sign_in"'), 1);
  t.equal(await events('event="sign_in_failed",reason="wrong_password"'), 1);
  t.equal(await value('latchkey_hash_wait_seconds_count'), 3);

  const answers = await Promise.all(Array.from({ length: 10 }, () => post(`${base}/auth/sign-in`, newCredentials())));
  const refused = answers.filter(({ status }) => status === 503).length;
  t.ok(refused > 0);
  t.equal(await value('latchkey_hash_refusals_total'), refused, 'at the door or behind it');
  t.equal(await value('latchkey_database_errors_total'), 0);
  t.equal(await value('latchkey_hash_lane_running'), 0);
  t.ok(((await value('latchkey_signing_key_age_seconds')) as number) > 0);
  t.equal(await value('latchkey_signing_key_next_seconds'), undefined, 'no rotation is planned');
  t.equal(await value('latchkey_signing_keys_unopened'), 0);
  t.ok(((await value('latchkey_database_pool_connections')) as number) > 0);
  t.match(await text(), /latchkey_build_info\{version="\d+\.\d+\.\d+"\} 1/);
});

t.test('labels are bounded, whatever callers send', async t => {
  const metricsPort = await getPort({ host: '127.0.0.1' });
  const { base } = await startService(t, { metricsPort });
  const { text } = reader(metricsPort);
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  await call(`${base}/auth/sessions/0198c6f5-0000-7000-8000-000000000000`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${body.token}` },
  });
  await get(`${base}/canary-path?canary=query`);
  await get(`${base}/auth/%63anary`);
  await call(`${base}/auth/sign-in?canary`, { method: 'PROPFIND' });
  await get(`${base}/docs/static/canary.js`);
  const told = await text();
  const counted = (labels: string, times = 1) =>
    t.ok(told.includes(`latchkey_http_request_duration_seconds_count{${labels}} ${times}\n`), labels);
  counted('method="POST",route="/auth/sign-up",status="201"');
  counted('method="DELETE",route="/auth/sessions/:id",status="404"');
  counted('method="other",route="unknown",status="405"');
  counted('method="GET",route="unknown",status="404"', 2);
  counted('method="GET",route="/docs/*",status="404"');
  t.notMatch(told, /canary/);
});

t.test('the state of the database shows', async t => {
  const metricsPort = await getPort({ host: '127.0.0.1' });
  const { url, cut, repair } = await startWire(t, await createDatabase());
  const { base } = await startService(t, { metricsPort, databaseUrl: url });
  const { value } = reader(metricsPort);
  const known = async (sample: string) => (await value(sample)) ?? Number.NaN;
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  // Several connections, so that some are idle when they break.
  for (const { status } of await Promise.all([1, 2, 3].map(() => get(`${base}/auth/me`, body.token))))
    t.equal(status, 200);
  t.ok((await known('latchkey_database_connections_opened_total')) > 1);
  t.equal(await value('latchkey_database_connections_lost_total'), 0);
  t.ok((await known('latchkey_revocations_age_seconds')) < 5);

  cut();
  t.equal((await get(`${base}/auth/me`, body.token)).status, 503);
  t.equal(await value('latchkey_database_errors_total'), 1);
  t.equal((await get(`${base}/readyz`)).status, 503);
  t.equal(await value('latchkey_database_errors_total'), 2);
  t.equal(await value('latchkey_hash_refusals_total'), 0, 'not every 503 is a refused hash');
  await until(async () => (await known('latchkey_database_connections_lost_total')) > 0, 'a lost connection');
  await until(async () => (await known('latchkey_ready')) === 0, 'not ready');
  t.ok((await known('latchkey_revocations_age_seconds')) >= 5);
  await repair();
  await until(async () => (await known('latchkey_ready')) === 1, 'ready again');
});

t.test('the server of the metrics takes odd requests, and answers while the service closes', async t => {
  const metricsPort = await getPort({ host: '127.0.0.1' });
  const { app, base } = await startService(t, { metricsPort, bcryptCost: 12, hashWorkers: 1 });
  const url = `http://127.0.0.1:${metricsPort}`;
  t.equal((await call(`${base}/metrics`)).status, 404, 'not where the gateway leads');
  t.equal((await call(`${url}/metrics?name[]=up`)).status, 200);
  for (const path of ['/', '/livez', '/metrics/', '//', '/%zz']) t.equal((await call(url + path)).status, 404, path);
  t.equal((await call(`${url}/metrics`, { method: 'POST', body: 'x'.repeat(100_000) })).status, 404);
  const socket = connect(metricsPort, '127.0.0.1');
  socket.end('\0\0 garbage\r\n\r\n');
  socket.resume();
  await once(socket, 'close');

  const { value } = reader(metricsPort);
  const signUp = post(`${base}/auth/sign-up`, newCredentials());
  await until(async () => (await value('latchkey_hash_lane_running')) === 1, 'a hash runs');
  const closed = app.close();
  t.equal(await value('latchkey_hash_lane_running'), 1);
  t.equal((await signUp).status, 201);
  await closed;
  await t.rejects(call(`${url}/metrics`));
});

t.test('a port that is taken is told of by name', async t => {
  const taken = createServer().listen(0, '127.0.0.1');
  t.teardown(() => taken.close());
  await once(taken, 'listening');
  const { port: metricsPort } = taken.address() as AddressInfo;
  await t.rejects(startService(t, { metricsPort }), {
    message: /METRICS_PORT \d+ cannot be listened on \(EADDRINUSE\)/,
  });
});
