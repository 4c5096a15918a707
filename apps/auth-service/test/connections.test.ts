import { readdirSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { basename } from 'node:path';
import t, { type Test } from 'tap';
import { get, newCredentials, post, type Service, startService, testConfig, until } from './helper.js';

const JSON_TYPE = 'Content-Type: application/json\r\n';
const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

/** A request as it is written to a connection. */
function raw(method: string, path: string, body?: object, headers = ''): string {
  const text = body === undefined ? '' : JSON.stringify(body);
  const length = `${body ? JSON_TYPE : ''}Content-Length: ${Buffer.byteLength(text)}\r\n`;
  return `${method} ${path} HTTP/1.1\r\nHost: x\r\n${headers}${length}\r\n${text}`;
}

/** Connects and writes a text; resolves when it has been written. */
function write(t: Test, { base }: Service, text: string): Promise<Socket> {
  const socket = connect(Number(new URL(base).port), '127.0.0.1');
  t.teardown(() => socket.destroy());
  socket.on('error', () => undefined);
  return new Promise(resolve => socket.once('connect', () => socket.write(text, () => resolve(socket))));
}

/** Settings of the throttles: how many failures an account has from one address. */
async function throttled(quota: number) {
  const { throttle } = await testConfig({ databaseUrl: 'unused' });
  const plenty = { quota: 10_000, windowS: 3600 };
  const limits = { pair: { quota, windowS: 3600 }, account: plenty, address: plenty, signUp: plenty };
  return { throttle: { ...throttle, enabled: true, ...limits } };
}

/** How often this process has a file open. */
function countOpen(path: string): number {
  return readdirSync('/proc/self/fd').filter(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).endsWith(basename(path));
    } catch {
      // Closed meanwhile.
      return false;
    }
  }).length;
}

t.test('connections that are reset do not end the process, and are no errors', async t => {
  for (const trustProxy of [[], ['127.0.0.1']]) {
    const service = await startService(t, { trustProxy, ...(await throttled(20)) });
    const forwarded = 'X-Forwarded-For: 203.0.113.7\r\n';
    const requests = [
      raw('GET', '/auth/me', undefined, forwarded),
      raw('GET', '/%zz', undefined, forwarded),
      raw('GET', '/nowhere', undefined, forwarded),
      raw('POST', '/auth/sign-in', newCredentials(), forwarded),
      raw('POST', '/auth/sign-in', newCredentials(), forwarded).slice(0, -5),
    ];
    for (let round = 0; round < 40; round++) {
      for (let i = 0; i < 50; i++) {
        void write(t, service, requests[i % requests.length] as string).then(socket => socket.resetAndDestroy());
      }
      await pause(20);
    }
    t.equal((await get(`${service.base}/livez`)).status, 200);
    t.notMatch(service.logs.join(''), /"level":[56]0/);
  }
});

t.test('a request whose address is not known is served like any other', async t => {
  for (const trustProxy of [[], ['127.0.0.1']]) {
    const { base, app, sql, logs } = await startService(t, { trustProxy, ...(await throttled(3)) });
    // As Node tells it of a connection that was reset.
    app.server.on('connection', socket => Object.defineProperty(socket, 'remoteAddress', { value: undefined }));
    const headers = { 'x-forwarded-for': '203.0.113.7', 'x-request-id': 'forged' };
    const credentials = newCredentials();
    const signedUp = await post(`${base}/auth/sign-up`, credentials, headers);
    t.equal(signedUp.status, 201);
    t.not(signedUp.headers.get('x-request-id'), 'forged');
    t.equal((await post(`${base}/auth/sign-in`, credentials, headers)).status, 200);
    t.equal((await get(`${base}/%zz`)).status, 400);
    const sessions = await get(`${base}/auth/sessions`, signedUp.body.token);
    t.match(sessions.body.sessions, [{ address: null }, { address: null }]);
    const { rows } = await sql('SELECT address FROM auth.audit_events WHERE request_id IS NOT NULL');
    t.same(rows, [{ address: null }, { address: null }]);
    t.match(logs.join(''), /"path":"\/auth\/sign-in","remoteAddress":"unknown"/);
    const stranger = newCredentials();
    for (const status of [401, 401, 401, 429]) {
      t.equal(
        (await post(`${base}/auth/sign-in`, stranger, headers)).status,
        status,
        'all such addresses count as one',
      );
    }
  }
});

t.test('who resets while passwords wait gives back the room and the attempts', async t => {
  const service = await startService(t, { bcryptCost: 10, hashWorkers: 1, ...(await throttled(10)) });
  const { base, app, logs } = service;
  const credentials = newCredentials();
  await post(`${base}/auth/sign-up`, credentials);
  for (let round = 0; round < 5; round++) {
    const wrong = raw('POST', '/auth/sign-in', { ...credentials, password: 'wrong' });
    // Ten on each connection: none of those that wait for their turn is begun.
    const sockets = await Promise.all(Array.from({ length: 8 }, () => write(t, service, wrong.repeat(10))));
    await until(async () => app.hashLane.state().waiting > 0, 'some wait for a hash');
    for (const socket of sockets) socket.resetAndDestroy();
    await until(async () => app.hashLane.state().waiting === 0, 'nobody waits');
    await until(async () => app.hashLane.state().running === 0, 'nothing runs');
    const failed = /"event":"sign_in_failed"/g;
    t.ok((logs.join('').match(failed)?.length ?? 0) <= 8 * (round + 1), 'at most one of each connection was tried');
    t.equal((await post(`${base}/auth/sign-in`, credentials)).status, 200, 'the attempts were given back');
  }
  t.notMatch(logs.join(''), /"level":[56]0/);
});

t.test('a connection gets one response at a time, however many it asks for', async t => {
  const service = await startService(t);
  const { base, sql } = service;
  const bundle = '/docs/static/swagger-ui-bundle.js';
  const unread = await Promise.all(
    Array.from({ length: 5 }, () => write(t, service, raw('GET', bundle).repeat(17)).then(socket => socket.pause())),
  );
  if (process.platform === 'linux') {
    await until(async () => countOpen(bundle) === 5, 'one is sent on each');
    await pause(300);
    t.ok(countOpen(bundle) <= 5, 'and no more');
    for (const socket of unread) socket.resetAndDestroy();
    await until(async () => countOpen(bundle) === 0, 'all are closed');
  }

  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  const client = await service.app.pg.pool.connect();
  await client.query('BEGIN');
  await client.query('SELECT FROM auth.sessions FOR UPDATE');
  await write(t, service, raw('POST', '/auth/refresh', { refreshToken: body.refreshToken }).repeat(17));
  const waiting = async () => {
    const { rows } = await sql(
      `SELECT count(*)::int AS count FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
    );
    return rows[0].count;
  };
  await until(async () => (await waiting()) > 0, 'a refresh waits for the row');
  await pause(200);
  t.equal(await waiting(), 1, 'the others do not take the connections of the pool');
  await client.query('COMMIT');
  client.release();
});
