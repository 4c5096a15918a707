import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import { createMigrator } from '@latchkey/service-kit/database';
import { REVOCATIONS_SCOPE } from '@latchkey/user-schema';
import getPort from 'get-port';
import pg from 'pg';
import t, { type Test } from 'tap';
import { serviceTokenClaims } from '#src/tokens/claims.js';
import { commandLine } from './command-line.js';
import {
  type Answer,
  call,
  createDatabase,
  createEmptyDatabase,
  get,
  newCredentials,
  post,
  type Service,
  startService,
  testConfig,
  until,
} from './helper.js';
import { startPgBouncer, withoutPgBouncer } from './pgbouncer.js';

const changePassword = ({ base }: Service, token: string) =>
  call(`${base}/auth/password`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ currentPassword: 'open sesame 42', newPassword: 'close sesame 43' }),
  });

/** A connection that does what an operator, or another program, would. */
async function operator(t: Test, databaseUrl: string): Promise<pg.Client> {
  const client = new pg.Client(databaseUrl);
  client.on('error', () => undefined);
  await client.connect();
  t.teardown(() => client.end());
  return client;
}

t.test('a connection that is ended within a transaction ends neither the service nor another request', async t => {
  const service = await startService(t);
  const { base, config } = service;
  const credentials = newCredentials();
  const { body } = await post(`${base}/auth/sign-up`, credentials);
  const other = await operator(t, config.databaseUrl);
  await other.query('BEGIN');
  await other.query('SELECT FROM auth.users FOR UPDATE');
  const changing = changePassword(service, body.token);
  const blocked = `SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
  await until(async () => (await service.sql(blocked)).rows.length === 1, 'the change waits for the row');
  await service.sql(`SELECT pg_terminate_backend(pid) FROM (${blocked}) AS waiting`);
  const answer = await changing;
  t.match(answer, { status: 503, body: { code: 'service_unavailable' } });
  t.ok(answer.headers.get('retry-after'));
  await other.query('ROLLBACK');
  t.equal((await changePassword(service, body.token)).status, 200);
});

t.test('connections to a server that takes no more writes are not used again', async t => {
  const service = await startService(t);
  const { base, config } = service;
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  const admin = await operator(t, config.databaseUrl);
  const name = new URL(config.databaseUrl).pathname.slice(1);
  const pids = async () => {
    const { rows } = await admin.query(
      `SELECT pid FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'auth-service%'`,
      [name],
    );
    return rows.map(({ pid }) => pid as number);
  };
  // As a leader that has been demoted: what is connected stays so, and cannot write.
  await admin.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
  await admin.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'auth-service%'`,
    [name],
  );
  for (const answer of [
    await post(`${base}/auth/sign-up`, newCredentials()),
    await post(`${base}/auth/refresh`, { refreshToken: body.refreshToken }),
    await changePassword(service, body.token),
    await get(`${base}/readyz`),
  ]) {
    t.match(answer, { status: 503, body: { code: 'service_unavailable' } });
    t.ok(answer.headers.get('retry-after'));
  }
  t.equal((await get(`${base}/readyz?exclude=database`)).status, 200, 'tokens can be checked');
  const before = new Set(await pids());
  await admin.query(`ALTER DATABASE ${name} SET default_transaction_read_only = off`);
  await until(async () => (await get(`${base}/readyz`)).status === 200, 'it finds out by itself');
  t.equal((await post(`${base}/auth/refresh`, { refreshToken: body.refreshToken })).status, 200);
  t.equal((await changePassword(service, body.token)).status, 200);
  // Reading, such as what the followers do, is well on those.
  t.ok((await pids()).some(pid => !before.has(pid)));
});

t.test('a network that swallows everything costs no more than the deadline', async t => {
  const postgres = await startThrowawayPostgres();
  t.teardown(() => postgres.stop());
  const network = await startNetwork(t, Number(new URL(postgres.url).port));
  const databaseUrl = new URL(postgres.url);
  databaseUrl.port = String(network.port);
  const { base, app } = await startService(t, { databaseUrl: databaseUrl.href });
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  network.swallow(true);
  const before = performance.now();
  const answers = await Promise.all(
    Array.from({ length: 30 }, () => post(`${base}/auth/sign-in`, newCredentials())).concat(get(`${base}/readyz`)),
  );
  for (const { status, headers } of answers) t.match([status, headers.get('retry-after')], [503, '1']);
  t.ok(performance.now() - before < 9000);
  t.equal((await get(`${base}/auth/verify`, body.token)).status, 200);
  t.equal((await get(`${base}/livez`)).status, 200);
  const reader = { id: 'reader', now: Math.floor(Date.now() / 1000) };
  const accessToken = app.signingKeys.sign(serviceTokenClaims(reader, REVOCATIONS_SCOPE, 600));
  t.match(
    await get(`${base}/auth/revocations`, accessToken),
    { status: 503, body: { code: 'service_unavailable' } },
    'a replica that does not know the newest says so to verifiers',
  );
  network.swallow(false);
  await until(async () => (await post(`${base}/auth/sign-up`, newCredentials())).status === 201, 'it goes on');
  await until(async () => (await get(`${base}/auth/revocations`, accessToken)).status === 200, 'the feed too');
});

t.test('an answer that was lost before an outage can be asked for after it', async t => {
  const postgres = await startThrowawayPostgres();
  t.teardown(() => postgres.stop());
  const { base } = await startService(t, { databaseUrl: postgres.url, refreshGraceS: 2 });
  const { body: first } = await post(`${base}/auth/sign-up`, newCredentials());
  const refresh = (refreshToken: string) => post(`${base}/auth/refresh`, { refreshToken });
  const { body: lost } = await refresh(first.refreshToken);
  await postgres.halt('fast');
  await new Promise(resolve => setTimeout(resolve, 6000));
  await postgres.start();
  await until(async () => (await get(`${base}/readyz`)).status === 200, 'the database is back');
  const again = await refresh(first.refreshToken);
  t.match(again, { status: 200, body: { refreshToken: lost.refreshToken } });
  await new Promise(resolve => setTimeout(resolve, 4000));
  t.equal((await refresh(first.refreshToken)).status, 401, 'but not much later');
  t.equal((await refresh(lost.refreshToken)).status, 401, 'that was theft');
});

t.test('when every connection is in use, callers are refused in time', async t => {
  const { base, config } = await startService(t);
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  const other = await operator(t, config.databaseUrl);
  await other.query('BEGIN');
  await other.query('LOCK TABLE auth.users IN ACCESS EXCLUSIVE MODE');
  const answers = await Promise.all(Array.from({ length: 40 }, () => post(`${base}/auth/sign-in`, newCredentials())));
  for (const { status, headers } of answers) t.match([status, headers.get('retry-after')], [503, '1']);
  t.equal((await get(`${base}/auth/verify`, body.token)).status, 200);
  await other.query('ROLLBACK');
  t.equal((await post(`${base}/auth/sign-up`, newCredentials())).status, 201);
});

t.test('requests that use up the pool look like no outage, and are refused at once beyond a bound', async t => {
  const { base, config, app } = await startService(t, { refreshGraceS: 10 });
  const [crowd, other] = [
    (await post(`${base}/auth/sign-up`, newCredentials())).body,
    (await post(`${base}/auth/sign-up`, newCredentials())).body,
  ];
  const admin = await operator(t, config.databaseUrl);
  await admin.query('BEGIN');
  await admin.query('SELECT FROM auth.sessions WHERE user_id = $1 FOR UPDATE', [crowd.user.id]);
  const refresh = () => post(`${base}/auth/refresh`, { refreshToken: crowd.refreshToken });
  const { pool } = app.pg;
  const refreshes = Array.from({ length: 2 * pool.options.max }, refresh);
  await until(async () => pool.waitingCount === pool.options.max, 'requests have every connection, and wait for more');
  // Hundreds of requests, as quick as the bound is filled: on a busy machine those by HTTP come too slowly for that.
  const more = Array.from({ length: 500 - pool.options.max }, () => pool.query('SELECT 1').catch(() => undefined));
  const refused = await refresh();
  t.match(refused, { status: 503, body: { code: 'service_unavailable' } });
  t.ok(refused.headers.get('retry-after'));
  t.equal(pool.waitingCount, 500, 'at once, as the others still wait');
  const operating = await operator(t, config.databaseUrl);
  await operating.query('UPDATE auth.sessions SET revoked_at = now() WHERE user_id = $1', [other.user.id]);
  await until(
    async () => (await get(`${base}/auth/verify`, other.token)).status === 401,
    'a revocation is not held up',
  );
  t.equal((await get(`${base}/readyz`)).status, 200, 'nor is the answer about readiness');
  t.ok(pool.waitingCount > 0, 'although requests still wait for the pool');
  await admin.query('COMMIT');
  t.equal(app.refreshGraceS(), 10, 'the grace period is not widened');
  for (const { status } of await Promise.all(refreshes)) t.ok(status === 503 || status === 200);
  await Promise.all(more);
  t.equal((await post(`${base}/auth/sign-up`, newCredentials())).status, 201);
});

t.test('a database that freezes while a password is hashed keeps its caller waiting for one statement', async t => {
  const postgres = await startThrowawayPostgres();
  t.teardown(() => postgres.stop());
  const network = await startNetwork(t, Number(new URL(postgres.url).port));
  const databaseUrl = new URL(postgres.url);
  databaseUrl.port = String(network.port);
  const { throttle } = await testConfig({ databaseUrl: databaseUrl.href });
  const throttled = { throttle: { ...throttle, enabled: true }, bcryptCost: 12 };
  const { base, app } = await startService(t, { databaseUrl: databaseUrl.href, ...throttled });
  const credentials = newCredentials();
  await post(`${base}/auth/sign-up`, credentials);
  const signingIn = post(`${base}/auth/sign-in`, { ...credentials, password: 'wrong password' });
  await until(async () => app.hashLane.state().running > 0, 'it hashes');
  network.swallow(true);
  const before = performance.now();
  t.equal((await signingIn).status, 503);
  t.ok(performance.now() - before < 12_000, 'two statements would take longer');
  network.swallow(false);
});

t.test('a database that refuses the login, or has lost a table, is one that is away', async t => {
  const databaseUrl = await createEmptyDatabase();
  const admin = await operator(t, databaseUrl);
  const role = `refused_${randomBytes(6).toString('hex')}`;
  const name = new URL(databaseUrl).pathname.slice(1);
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'; GRANT CREATE ON DATABASE ${name} TO ${role}`);
  const url = new URL(databaseUrl);
  [url.username, url.password] = [role, 'x'];
  const { base } = await startService(t, { databaseUrl: url.href });
  const { body } = await post(`${base}/auth/sign-up`, newCredentials());
  const disconnect = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${role}'`;
  for (const refusal of [`ALTER ROLE ${role} NOLOGIN`, `ALTER ROLE ${role} LOGIN PASSWORD 'y'`]) {
    await admin.query(refusal);
    await admin.query(disconnect);
    for (const answer of [await get(`${base}/auth/me`, body.token), await get(`${base}/readyz`)]) {
      t.match([answer.status, answer.headers.get('retry-after')], [503, '1'], refusal);
    }
  }
  await admin.query(`ALTER ROLE ${role} PASSWORD 'x'`);
  t.equal((await get(`${base}/auth/me`, body.token)).status, 200);
  await admin.query('ALTER TABLE auth.sessions RENAME TO gone');
  t.match(await get(`${base}/readyz`), { status: 503, body: { code: 'service_unavailable' } });
});

t.test('limits are those of the role where it has some, and ours where not', async t => {
  const databaseUrl = await createEmptyDatabase();
  const admin = await operator(t, databaseUrl);
  const role = `limited_${randomBytes(6).toString('hex')}`;
  const name = new URL(databaseUrl).pathname.slice(1);
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'; GRANT CREATE ON DATABASE ${name} TO ${role}`);
  await admin.query(`ALTER ROLE ${role} SET statement_timeout = '3s'`);
  const url = new URL(databaseUrl);
  [url.username, url.password] = [role, 'x'];
  const { sql } = await startService(t, { databaseUrl: url.href });
  const { rows } = await sql(
    `SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
       current_setting('idle_in_transaction_session_timeout') AS idle`,
  );
  t.same(rows, [{ statement: '3s', lock: '2s', idle: '5s' }]);
});

t.test('one role migrates, and another serves', async t => {
  const databaseUrl = await createEmptyDatabase();
  const admin = await operator(t, databaseUrl);
  const role = `serving_${randomBytes(6).toString('hex')}`;
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
  const servingUrl = new URL(databaseUrl);
  [servingUrl.username, servingUrl.password] = [role, 'x'];

  const starting = startService(t, { databaseUrl: servingUrl.href, migrateOnStart: false });
  const migrating = { config: { databaseUrl, authSecrets: [], publicUrl: '', bcryptCost: 4 } } as unknown as Service;
  const latchkey = commandLine(migrating);
  t.match(await latchkey('migrate --grant-to nobody_there'), { code: 1, stderr: /There is no role nobody_there/ });
  const done = await latchkey(`migrate --grant-to ${role} --json`);
  t.equal(done.code, 0, done.stderr);
  t.match(JSON.parse(done.stdout), { applied: [/001/], grantedTo: role });
  t.match(await latchkey('migrate'), { code: 0, stdout: /up to date/ });

  const service = await starting;
  const { base } = service;
  const credentials = newCredentials();
  const { body } = await post(`${base}/auth/sign-up`, credentials);
  t.equal((await post(`${base}/auth/sign-up`, credentials)).status, 409);
  const signedIn = await post(`${base}/auth/sign-in`, credentials);
  t.equal(signedIn.status, 200);
  t.equal((await post(`${base}/auth/sign-in`, { ...credentials, password: 'wrong password' })).status, 401);
  t.equal((await post(`${base}/auth/refresh`, { refreshToken: body.refreshToken })).status, 200);
  t.equal((await get(`${base}/readyz`)).status, 200);
  t.equal((await changePassword(service, signedIn.body.token)).status, 200);
  const serving = commandLine(service);
  for (const command of [
    'keys rotate',
    'clients create billing',
    'clients rotate billing',
    `users disable ${credentials.username}`,
    'passwords report',
    `events --user ${credentials.username}`,
    'users export --format ndjson',
    'users list --query user-',
    `users show ${credentials.username}`,
    `users rename ${credentials.username} renamed`,
    'users delete renamed --yes',
  ]) {
    t.match(await serving(command, '', { MIGRATE_ON_START: 'false' }), { code: 0, stderr: /^(?!latchkey:)/ }, command);
  }
  const rows = 'username,passwordHash\nimported,\n';
  t.match(await serving('users import - --format csv', rows, { MIGRATE_ON_START: 'false' }), {
    code: 0,
    stderr: /^(?!latchkey:)/,
  });

  const restricted = await operator(t, servingUrl.href);
  for (const forbidden of [
    'CREATE TABLE auth.other ()',
    'DROP TABLE auth.users',
    'TRUNCATE auth.users',
    'DELETE FROM auth.clients',
    "INSERT INTO auth.migrations (name, run_on) VALUES ('x', now())",
  ]) {
    await t.rejects(restricted.query(forbidden), { code: '42501' }, forbidden);
  }
});

t.test('without a schema to serve from, it says what to do', async t => {
  const databaseUrl = await createEmptyDatabase();
  const admin = await operator(t, databaseUrl);
  const role = `powerless_${randomBytes(6).toString('hex')}`;
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
  const url = new URL(databaseUrl);
  [url.username, url.password] = [role, 'x'];
  const powerless = { config: { databaseUrl: url.href, authSecrets: [], publicUrl: '', bcryptCost: 4 } };
  t.match(await commandLine(powerless as unknown as Service)('migrate'), {
    code: 1,
    stderr: /role may not do that .*permission denied.*latchkey migrate --grant-to/,
  });
});

t.test('a service goes on working on the schema of the next version', async t => {
  const databaseUrl = await createDatabase();
  const { config } = await startService(t, { databaseUrl });
  const admin = await operator(t, databaseUrl);
  await admin.query(`INSERT INTO auth.migrations (name, run_on) VALUES ('999_next', now())`);
  await admin.query('ALTER TABLE auth.users ADD COLUMN next text; ALTER TABLE auth.sessions ADD COLUMN next text');
  const { base } = await startService(t, config);
  const credentials = newCredentials();
  t.equal((await post(`${base}/auth/sign-up`, credentials)).status, 201);
  const { body } = await post(`${base}/auth/sign-in`, credentials);
  t.equal((await post(`${base}/auth/refresh`, { refreshToken: body.refreshToken })).status, 200);
});

t.test('a migration that waits for a long transaction lets everybody else through meanwhile', async t => {
  const databaseUrl = await createEmptyDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-migrations-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const migrator = createMigrator({ schema: 'trial', folder, lock: 0x747269616c });
  await writeFile(join(folder, '001_first.sql'), 'CREATE TABLE trial.things (id integer)');
  t.same(await migrator.migrate(databaseUrl), ['001_first']);
  await writeFile(join(folder, '002_second.sql'), 'ALTER TABLE trial.things ADD COLUMN name text');
  const reader = await operator(t, databaseUrl);
  await reader.query('BEGIN; SELECT FROM trial.things');
  const migrating = migrator.migrate(databaseUrl);
  const writer = await operator(t, databaseUrl);
  const isMigrating = async () => {
    const { rowCount } = await writer.query(
      `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%ADD COLUMN name%' AND datname = current_database()`,
    );
    return rowCount === 1;
  };
  await until(isMigrating, 'the migration waits');
  const before = performance.now();
  await writer.query('INSERT INTO trial.things VALUES (1)');
  t.ok(performance.now() - before < 10_000, 'while the other transaction goes on');
  await reader.query('COMMIT');
  t.same(await migrating, ['002_second']);
});

t.test('prepares its statements, and goes on without when they are lost', async t => {
  const databaseUrl = await createDatabase();
  const { config, ...first } = await startService(t, { databaseUrl });
  const credentials = newCredentials();
  const lose = async ({ sql, logs }: Pick<Service, 'sql' | 'logs'>, during: () => Promise<Answer>, status: number) => {
    const { rows } = await sql('SELECT count(*)::int AS count FROM pg_prepared_statements');
    t.ok(rows[0].count > 0, 'they are prepared');
    // What a pooler of transactions that knows no prepared statements does, by giving out another connection.
    await sql('DEALLOCATE ALL');
    const answer = await during();
    t.equal(answer.status, status);
    t.equal(logs.filter(line => line.includes('not prepared from now on')).length, 1, 'the log says so once');
    return answer;
  };
  await post(`${first.base}/auth/sign-up`, credentials);
  const inTransaction = () => post(`${first.base}/auth/sign-up`, newCredentials());
  const { body } = await lose(first, inTransaction, 201);
  const second = await startService(t, config);
  await post(`${second.base}/auth/sign-in`, credentials);
  const alone = () => post(`${second.base}/auth/refresh`, { refreshToken: body.refreshToken });
  await post(`${second.base}/auth/refresh`, { refreshToken: body.refreshToken });
  await lose(second, alone, 200);

  const third = await startService(t, config);
  await post(`${third.base}/auth/sign-in`, credentials);
  await third.sql('ALTER TABLE auth.users ALTER COLUMN credential_version TYPE bigint');
  const signedIn = await post(`${third.base}/auth/sign-in`, credentials);
  t.equal(signedIn.status, 200, 'a statement whose columns have changed is planned anew');
});

t.test('works through PgBouncer, a transaction at a time', { skip: withoutPgBouncer }, async t => {
  const databaseUrl = await createEmptyDatabase();
  const { url: bouncerUrl } = await startPgBouncer(t, databaseUrl, 'transaction');
  const config = await testConfig({ databaseUrl });
  const settings = {
    databaseUrl: bouncerUrl,
    authSecrets: config.authSecrets,
    throttle: { ...config.throttle, enabled: true, pair: { quota: 3, windowS: 60 } },
  };
  const [one, two] = await Promise.all([startService(t, settings), startService(t, settings)]);
  const { rows } = await one.sql(
    'SELECT count(*)::int AS count, count(DISTINCT name)::int AS names FROM auth.migrations',
  );
  t.equal(rows[0].count, rows[0].names, 'both came at once, and each migration is applied once');

  const credentials = newCredentials();
  const people = await Promise.all(
    Array.from({ length: 20 }, (_, i) => post(`${(i % 2 ? one : two).base}/auth/sign-up`, newCredentials())),
  );
  for (const { status } of people) t.equal(status, 201);
  t.equal((await post(`${one.base}/auth/sign-up`, credentials)).status, 201);
  const { body } = await post(`${two.base}/auth/sign-in`, credentials);
  const refreshed = await Promise.all(
    people.map(({ body }) => post(`${two.base}/auth/refresh`, { refreshToken: body.refreshToken })),
  );
  for (const { status } of refreshed) t.equal(status, 200);
  t.equal((await changePassword(one, body.token)).status, 200);
  for (const expected of [401, 401, 401, 429]) {
    const wrong = { ...credentials, password: 'wrong password' };
    t.equal((await post(`${one.base}/auth/sign-in`, wrong)).status, expected);
  }

  const leaving = people[0]?.body.token as string;
  const signOut = { method: 'POST', headers: { authorization: `Bearer ${leaving}` } };
  t.equal((await call(`${one.base}/auth/sign-out`, signOut)).status, 204);
  await until(async () => (await get(`${two.base}/auth/verify`, leaving)).status === 401, 'the other replica knows');
  const latchkey = commandLine({ config: { ...one.config, databaseUrl: bouncerUrl } } as Service);
  t.match(await latchkey('keys rotate --lead 0'), { code: 0 });
  const kids = async ({ base }: Service) => (await get(`${base}/.well-known/jwks.json`)).body.keys.length;
  await until(async () => (await kids(one)) === 2 && (await kids(two)) === 2, 'both know the new key');
});

/** A network between the service and a port of this machine, which can swallow what is sent. */
async function startNetwork(t: Test, to: number): Promise<{ port: number; swallow(on: boolean): void }> {
  const sockets = new Set<Socket>();
  let swallowing = false;
  const server = createServer(near => {
    const far = connect(to, '127.0.0.1');
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => into.destroy());
      from.on('close', () => into.destroy());
      from.on('data', chunk => {
        into.write(chunk);
      });
      if (swallowing) from.pause();
    }
  });
  const port = await getPort({ host: '127.0.0.1' });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port,
    swallow(on) {
      swallowing = on;
      for (const socket of sockets) on ? socket.pause() : socket.resume();
    },
  };
}
