import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import t, { type Test } from 'tap';
import { createDatabase, get, newCredentials, post, startService, until } from './helper.js';

const SERVER = fileURLToPath(new URL('../dist/server.js', import.meta.url));

type Run = { child: ChildProcess; output: () => string; exit: Promise<number | null>; base: Promise<string> };

/** Runs the built service as its own process. */
function run(t: Test, cwd: string, env: Record<string, string>): Run {
  const child = spawn(process.execPath, [SERVER], {
    cwd,
    env: { PATH: process.env['PATH'], PORT: '0', BCRYPT_COST: '4', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const base = new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      output += chunk;
      const match = /listening at (http:[^"]+)/.exec(output);
      if (match) resolve(match[1] as string);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('close', () => reject(new Error(output)));
  });
  base.catch(() => undefined);
  const exit = once(child, 'close').then(([code]) => code as number | null);
  t.teardown(() => child.kill('SIGKILL'));
  return { child, output: () => output, exit, base };
}

/** A folder that goes with the test, with the cluster of its `.data`, wherever that had to be made. */
function makeFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-test-'));
  t.teardown(() => {
    rmSync(realpathSync(join(folder, '.data', 'postgres')), { recursive: true, force: true });
    rmSync(folder, { recursive: true });
  });
  return folder;
}

const production = () => ({
  NODE_ENV: 'production',
  AUTH_SECRETS: `one:${randomBytes(32).toString('base64')}`,
  PUBLIC_URL: 'https://auth.example.com',
});

t.test('refuses to start, says why, and ends with an error', async t => {
  const cwd = t.testdir();
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.teardown(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const databaseUrl = await createDatabase();
  const { AUTH_SECRETS, ...noSecrets } = production();
  const wrongPassword = new URL(databaseUrl);
  wrongPassword.password = 'canary-password';
  const noDatabase = new URL(databaseUrl);
  noDatabase.pathname = '/nowhere';

  const cases: [name: string, env: Record<string, string>, message: RegExp][] = [
    ['production without DATABASE_URL', production(), /DATABASE_URL is required in production/],
    ['production without AUTH_SECRETS', { ...noSecrets, DATABASE_URL: databaseUrl }, /AUTH_SECRETS is required/],
    ['a bad setting', { PORT: 'http' }, /PORT: must be integer/],
    [
      'no database',
      { ...production(), DATABASE_URL: 'postgresql://x:canary-password@127.0.0.1:1/x' },
      /database does not answer .*ECONNREFUSED.*DATABASE_URL/,
    ],
    ['a wrong password', { ...production(), DATABASE_URL: wrongPassword.href }, /database refuses us .*DATABASE_URL/],
    [
      'a database that is not there',
      { ...production(), DATABASE_URL: noDatabase.href },
      /database refuses us .*nowhere/,
    ],
    [
      'a port in use',
      { ...production(), HOST: '127.0.0.1', DATABASE_URL: databaseUrl, PORT: String(port) },
      /Port \d+ of 127.0.0.1 is in use. Set PORT/,
    ],
  ];
  await Promise.all(
    cases.map(async ([name, env, message]) => {
      const { exit, output } = run(t, cwd, env);
      t.equal(await exit, 1, name);
      t.match(output(), message, name);
      t.notMatch(output(), /canary|^ +at /m, `${name}: neither secrets nor a stack`);
    }),
  );
});

t.test('twenty replicas start at once on an empty database', async t => {
  const cwd = t.testdir();
  const env = { ...production(), HOST: '127.0.0.1', DATABASE_URL: await createDatabase() };
  const replicas = Array.from({ length: 20 }, () => run(t, cwd, env));
  const bases = await Promise.all(replicas.map(replica => replica.base));
  const { body } = await post(`${bases[0]}/auth/sign-up`, newCredentials());
  for (const base of bases) t.equal((await get(`${base}/auth/verify`, body.token)).status, 200);
  for (const { child } of replicas) child.kill('SIGTERM');
  for (const { exit } of replicas) t.equal(await exit, 0);
});

/** Passes everything on to a database but its answers to statements that contain `text`, and all that come after them. */
async function startDeafProxy(t: Test, databaseUrl: string, text: string): Promise<string> {
  const url = new URL(databaseUrl);
  const { hostname, port } = url;
  const proxy = createServer(client => {
    const database = connect(Number(port), hostname);
    let isDeaf = false;
    client.on('data', chunk => {
      isDeaf ||= chunk.includes(text);
      database.write(chunk);
    });
    database.on('data', chunk => isDeaf || client.write(chunk));
    for (const [one, other] of [[client, database] as const, [database, client] as const]) {
      one.on('error', () => undefined).on('close', () => other.destroy());
    }
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.teardown(() => proxy.close());
  url.host = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  return url.href;
}

t.test('killed between the commit of a sign-up and its answer, another replica gives the same account', async t => {
  const other = await startService(t);
  const { databaseUrl, authSecrets } = other.config;
  const proxied = await startDeafProxy(t, databaseUrl, 'INSERT INTO auth.users');
  const secrets = authSecrets.map(({ id, key }) => `${id}:${key.toString('base64')}`).join();
  const { base, child, exit } = run(t, t.testdir(), { AUTH_SECRETS: secrets, DATABASE_URL: proxied });
  const credentials = newCredentials();
  const headers = { 'idempotency-key': `"${credentials.username}"` };
  const lost = post(`${await base}/auth/sign-up`, credentials, headers).then(
    ({ status }) => status,
    () => 'lost',
  );
  let rows: { id: string }[] = [];
  const find = 'SELECT id FROM auth.users WHERE username = $1';
  await until(async () => {
    rows = (await other.sql(find, [credentials.username])).rows;
    return rows.length > 0;
  }, 'the account is there');
  child.kill('SIGKILL');
  await exit;
  t.equal(await lost, 'lost');

  const again = await post(`${other.base}/auth/sign-up`, credentials, headers);
  t.equal(again.status, 201);
  t.equal(again.body.user.id, rows[0]?.id);
  t.equal((await get(`${other.base}/auth/sessions`, again.body.token)).body.sessions.length, 1);
  t.equal((await post(`${other.base}/auth/refresh`, { refreshToken: again.body.refreshToken })).status, 200);
});

t.test('without a database it brings its own, which outlives a crash', async t => {
  const cwd = makeFolder(t);
  const credentials = newCredentials();
  const first = run(t, cwd, {});
  t.equal((await post(`${await first.base}/auth/sign-up`, credentials)).status, 201);
  const { body: before } = await get(`${await first.base}/.well-known/jwks.json`);
  first.child.kill('SIGKILL');
  await first.exit;

  const [second, third] = [run(t, cwd, {}), run(t, cwd, {})];
  for (const replica of [second, third]) {
    t.equal((await post(`${await replica.base}/auth/sign-in`, credentials)).status, 200);
  }
  t.same((await get(`${await third.base}/.well-known/jwks.json`)).body, before, 'the same signing key');

  second.child.kill('SIGTERM');
  t.equal(await second.exit, 0);
  t.equal((await get(`${await third.base}/readyz`)).status, 200, 'whoever shares the database keeps it');
  third.child.kill('SIGINT');
  t.equal(await third.exit, 0);
});

t.test('a signal that comes while it starts leaves no database running', async t => {
  const cwd = makeFolder(t);
  const { child, exit } = run(t, cwd, {});
  const pidFile = join(cwd, '.data', 'postgres', 'data', 'postmaster.pid');
  while (!existsSync(pidFile)) await new Promise(resolve => setTimeout(resolve, 5));
  child.kill('SIGTERM');
  t.equal(await exit, 0);
  t.notOk(existsSync(pidFile));
});

t.test('a request in flight on a kept connection is answered, and does not hold up the end', async t => {
  const env = { ...production(), HOST: '127.0.0.1', DATABASE_URL: await createDatabase(), BCRYPT_COST: '12' };
  const { base, child, exit } = run(t, t.testdir(), env);
  const agent = new Agent({ keepAlive: true });
  t.teardown(() => agent.destroy());
  const body = JSON.stringify(newCredentials());
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const sending = request(`${await base}/auth/sign-up`, { agent, method: 'POST', headers });
  sending.end(body);
  const answering = once(sending, 'response') as Promise<[IncomingMessage]>;
  await once(sending, 'finish');
  // The hash takes longer than this.
  await new Promise(resolve => setTimeout(resolve, 50));
  child.kill('SIGTERM');
  const before = performance.now();
  const [answer] = await answering;
  answer.resume();
  t.equal(answer.statusCode, 201);
  t.equal(answer.headers.connection, 'close');
  t.equal(await exit, 0);
  t.ok(performance.now() - before < 8000, 'it does not run into its time limit');
});

t.test('when the database goes away, calls that need it are answered 503 until it is back', async t => {
  const postgres = await startThrowawayPostgres();
  const { base, logs } = await startService(t, { databaseUrl: postgres.url });
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  await postgres.stop();

  for (const answer of [
    await post(`${base}/auth/sign-in`, newCredentials()),
    await post(`${base}/auth/sign-up`, newCredentials()),
    await get(`${base}/auth/me`, body.token),
    await get(`${base}/readyz`),
  ]) {
    t.equal(answer.status, 503);
    t.equal(answer.body.code, 'service_unavailable');
    t.ok(answer.headers.get('retry-after'));
    t.notMatch(answer.text, /ECONNREFUSED|127\.0\.0\.1/, 'the cause is for the log');
  }
  t.match(logs.join(''), /ECONNREFUSED/);
  for (const path of ['/livez', '/.well-known/jwks.json']) t.equal((await get(base + path)).status, 200);
  t.equal((await get(`${base}/auth/verify`, body.token)).status, 200, 'tokens are checked without it');
});
