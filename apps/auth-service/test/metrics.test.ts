import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import t from 'tap';
import { call, newCredentials, post, startService, testConfig } from './helper.js';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

t.test('metrics are told on a port of their own', async t => {
  const metricsPort = await freePort();
  const { throttle } = await testConfig();
  const { base } = await startService(t, {
    ...{ metricsPort, bcryptCost: 10, hashWorkers: 1, hashMaxWaitMs: 0, passwordBreachUrl: 'http://127.0.0.1:1' },
    throttle: { ...throttle, enabled: true, pair: { quota: 1, windowS: 60 } },
  });
  const value = async (sample: string) => {
    const { text } = await call(`http://127.0.0.1:${metricsPort}/metrics`);
    return Number(
      text
        .split('\n')
        .find(line => line.startsWith(`${sample} `))
        ?.slice(sample.length),
    );
  };
  t.equal(await value('latchkey_hash_refusals_total'), 0);

  const credentials = newCredentials();
  t.equal((await post(`${base}/auth/sign-up`, credentials)).status, 201);
  t.equal(await value('latchkey_breach_check_failures_total'), 1, 'nobody answers there');
  const wrong = { ...credentials, password: 'wrong' };
  t.equal((await post(`${base}/auth/sign-in`, wrong)).status, 401);
  t.equal((await post(`${base}/auth/sign-in`, wrong)).status, 429);
  t.equal(await value('latchkey_throttle_blocks_total{limit="pair"}'), 1);
  t.equal(await value('latchkey_throttled_total{limit="pair"}'), 1);

  const answers = await Promise.all(Array.from({ length: 10 }, () => post(`${base}/auth/sign-in`, newCredentials())));
  const refused = answers.filter(({ status }) => status === 503).length;
  t.ok(refused > 0);
  t.ok((await value('latchkey_hash_refusals_total')) <= refused);
  t.equal(await value('latchkey_hash_lane_running'), 0);

  t.equal((await call(`http://127.0.0.1:${metricsPort}/`)).status, 404);
  t.equal((await call(`${base}/metrics`)).status, 404, 'not where the gateway leads');
});
