import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createVirtualAuthenticator } from '@latchkey/auth-client/testing';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import t, { type Test } from 'tap';
import { migrator } from '#src/database/migrate.js';
import { createDatabase, createEmptyDatabase, get, newCredentials, post, startService, until } from './helper.js';

const SERVER = fileURLToPath(new URL('../dist/server.js', import.meta.url));

type Run = { child: ChildProcess; output: () => string; exit: Promise<number | null>; base: Promise<string> };

/** Runs the built service as its own process. */
function run(t: Test, cwd: string, env: Record<string, string>): Run {
  const child = spawn(process.execPath, [SERVER], {
    cwd,
    env: { PATH: process.env['PATH'], PORT: '0', BCRYPT_COST: '4', SHUTDOWN_DELAY_MS: '0', ...env },
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

/** Sends a request through an agent, which keeps its connections. */
function send(
  url: string,
  agent: Agent,
  body?: unknown,
): { sent: Promise<unknown>; answering: Promise<IncomingMessage> } {
  const json = body === undefined ? undefined : JSON.stringify(body);
  const headers = json && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) };
  const sending = request(url, { agent, method: json ? 'POST' : 'GET', ...(headers && { headers }) });
  sending.end(json);
  const answering = once(sending, 'response').then(([answer]: IncomingMessage[]) =>
    (answer as IncomingMessage).resume(),
  );
  return { sent: once(sending, 'finish').catch(() => undefined), answering };
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
    ['a database, and no secrets', { DATABASE_URL: databaseUrl }, /AUTH_SECRETS is required with a DATABASE_URL/],
    [
      'a password that is no part of a URL',
      { ...production(), DATABASE_URL: 'postgresql://x:canary/password@127.0.0.1:1/x' },
      /DATABASE_URL is not a URL.*Percent-encode.*PGPASSWORD/,
    ],
    ['a bad setting', { PORT: 'http' }, /PORT: must be integer/],
    [
      'no database',
      { ...production(), DATABASE_URL: 'postgresql://x:canary-password@127.0.0.1:1/x' },
      /database cannot be used: nothing listens on 127.0.0.1:1. Start PostgreSQL, or check .* DATABASE_URL/,
    ],
    [
      'a wrong password',
      { ...production(), DATABASE_URL: wrongPassword.href },
      /127.0.0.1:\d+ refuses the role "postgres" \(password auth.*DATABASE_URL/,
    ],
    [
      'a database that is not there',
      { ...production(), DATABASE_URL: noDatabase.href },
      /there is no database "nowhere" on 127.0.0.1:\d+. Make it/,
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

t.test('twenty replicas migrate an empty database at once', async t => {
  const databaseUrl = await createEmptyDatabase();
  const applied = await Promise.all(Array.from({ length: 20 }, () => migrator.migrate(databaseUrl)));
  t.equal(applied.filter(names => names.length > 0).length, 1, 'one migrates, and the others wait for it');
});

t.test('six replicas start at once on an empty database', async t => {
  const cwd = t.testdir();
  const env = { ...production(), HOST: '127.0.0.1', DATABASE_URL: await createEmptyDatabase() };
  const replicas = Array.from({ length: 6 }, () => run(t, cwd, env));
  const bases = await Promise.all(replicas.map(replica => replica.base));
  const { body } = await post(`${bases[0]}/auth/sign-up`, newCredentials());
  for (const base of bases) t.equal((await get(`${base}/auth/verify`, body.token)).status, 200);
  for (const { child } of replicas) child.kill('SIGTERM');
  for (const { exit } of replicas) t.equal(await exit, 0);
});

/** Passes everything on to a database but its responses from the COMMIT on that follows a statement with `text`. */
async function startDeafProxy(t: Test, databaseUrl: string, text: string): Promise<string> {
  const url = new URL(databaseUrl);
  const { hostname, port } = url;
  const proxy = createServer(client => {
    const database = connect(Number(port), hostname);
    let [isNear, isDeaf] = [false, false];
    client.on('data', chunk => {
      isNear ||= chunk.includes(text);
      isDeaf ||= isNear && chunk.includes('COMMIT');
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

t.test('killed between the commit of a sign-up and its response, another replica gives the same account', async t => {
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
  t.equal((await get(`${await third.base}/readyz`)).status, 200, 'a process that shares the database keeps it');
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

t.test('a signal that comes while it waits for the migrations ends it at once', async t => {
  const env = {
    ...production(),
    HOST: '127.0.0.1',
    DATABASE_URL: await createEmptyDatabase(),
    SHUTDOWN_DELAY_MS: '60000',
  };
  const { child, exit, output } = run(t, t.testdir(), { ...env, MIGRATE_ON_START: 'false' });
  await until(async () => /waiting for the migrations/.test(output()), 'it waits');
  const before = performance.now();
  child.kill('SIGTERM');
  t.equal(await exit, 0);
  t.ok(performance.now() - before < 3000);
});

t.test('a request in flight on a kept connection is answered, and does not hold up the end', async t => {
  const env = { ...production(), HOST: '127.0.0.1', DATABASE_URL: await createDatabase(), BCRYPT_COST: '12' };
  const { base, child, exit } = run(t, t.testdir(), env);
  const agent = new Agent({ keepAlive: true });
  t.teardown(() => agent.destroy());
  const { answering, sent } = send(`${await base}/auth/sign-up`, agent, newCredentials());
  await sent;
  // The hash takes longer than this.
  await new Promise(resolve => setTimeout(resolve, 50));
  child.kill('SIGTERM');
  const before = performance.now();
  const answer = await answering;
  t.equal(answer.statusCode, 201);
  t.equal(answer.headers.connection, 'close');
  t.equal(await exit, 0);
  t.ok(performance.now() - before < 8000, 'it does not run into its time limit');
});

t.test('the bundle makes and uses passkeys', async t => {
  const { base } = run(t, t.testdir(), { ...production(), DATABASE_URL: await createDatabase() });
  const at = (path: string) => async (body: object) => (await post(`${await base}${path}`, body)).body;
  const device = createVirtualAuthenticator({ origin: 'https://auth.example.com' });
  const { username } = newCredentials();
  const response = device.create(await at('/auth/sign-up/passkey/options')({ username }));
  const { user } = await at('/auth/sign-up/passkey')({ response });
  t.equal(user?.username, username);
  const assertion = device.get(await at('/auth/sign-in/passkey/options')({}));
  t.same((await at('/auth/sign-in/passkey')({ response: assertion })).user, user);
});

t.test('told to end, it goes on until everybody has noticed', async t => {
  const env = { ...production(), HOST: '127.0.0.1', DATABASE_URL: await createDatabase() };
  const delayMs = 2000;
  const { base, child, exit } = run(t, t.testdir(), { ...env, SHUTDOWN_DELAY_MS: String(delayMs) });
  const url = await base;
  const kept = Array.from({ length: 20 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
  t.teardown(() => kept.forEach(agent => void agent.destroy()));
  for (const agent of kept) t.equal((await send(`${url}/livez`, agent).answering).headers.connection, 'keep-alive');

  child.kill('SIGTERM');
  const before = performance.now();
  await until(async () => (await get(`${url}/readyz`)).status === 503, 'readiness is red');
  t.match((await get(`${url}/readyz?exclude=database`)).body, { code: 'service_unavailable' });
  t.equal((await get(`${url}/livez`)).status, 200, 'liveness stays green');
  const { status, headers } = await post(`${url}/auth/sign-up`, newCredentials());
  t.equal(status, 201, 'new connections are served');
  t.equal(headers.get('connection'), 'close');
  const answers = await Promise.all(kept.map(agent => send(`${url}/livez`, agent).answering));
  for (const { statusCode, headers } of answers)
    t.match({ statusCode, ...headers }, { statusCode: 200, connection: 'close' });

  t.equal(await exit, 0);
  const tookMs = performance.now() - before;
  t.ok(tookMs >= delayMs && tookMs < delayMs + 3000, `it took ${tookMs} ms`);
});

t.test('no request fails on connections that are kept busy', async t => {
  const env = { ...production(), HOST: '127.0.0.1', DATABASE_URL: await createDatabase() };
  const { base, child, exit } = run(t, t.testdir(), { ...env, SHUTDOWN_DELAY_MS: '500' });
  const url = await base;
  const last = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      if (i === 0) setTimeout(() => child.kill('SIGTERM'), 300);
      for (;;) {
        const { statusCode, headers } = await send(`${url}/livez`, agent).answering;
        // Told to, the caller goes elsewhere.
        if (statusCode !== 200 || headers.connection === 'close') return { statusCode, ...headers };
      }
    }),
  );
  for (const answer of last) t.match(answer, { statusCode: 200, connection: 'close' });
  t.equal(await exit, 0);
});

t.test('neither a caller that never ends nor a second signal holds it up', async t => {
  const env = { ...production(), HOST: '127.0.0.1', DATABASE_URL: await createDatabase() };
  const slow = run(t, t.testdir(), env);
  const { port } = new URL(await slow.base);
  const caller = connect(Number(port), '127.0.0.1');
  t.teardown(() => caller.destroy());
  caller.on('error', () => undefined);
  caller.write(
    'POST /auth/sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{',
  );
  await new Promise(resolve => setTimeout(resolve, 100));
  slow.child.kill('SIGTERM');

  const twice = run(t, t.testdir(), { ...env, SHUTDOWN_DELAY_MS: '60000' });
  await twice.base;
  twice.child.kill('SIGTERM');
  await until(async () => /closing/.test(twice.output()), 'it has taken the first signal');
  const before = performance.now();
  twice.child.kill('SIGTERM');
  t.equal(await twice.exit, 1);
  t.ok(performance.now() - before < 2000, 'at once');
  t.equal(await slow.exit, 0);
});

t.test('an error that nobody catches is logged, and ends it', async t => {
  const env = { ...production(), HOST: '127.0.0.1', DATABASE_URL: await createDatabase(), SHUTDOWN_DELAY_MS: '60000' };
  const script = "process.on('SIGWINCH', () => { throw new Error('nobody catches this') })";
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(script)}`;
  const { base, child, output, exit } = run(t, t.testdir(), { ...env, NODE_OPTIONS });
  await base;
  child.kill('SIGWINCH');
  t.equal(await exit, 1);
  t.match(output(), /"level":60.*nobody catches this.*closing after an error/);
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
