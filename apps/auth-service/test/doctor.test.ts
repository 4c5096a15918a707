import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, request } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import pg from 'pg';
import t, { type Test } from 'tap';
import { judgeClock } from '#src/cli/doctor/clocks.js';
import { examine } from '#src/cli/doctor/examine.js';
import type { Finding } from '#src/cli/doctor/finding.js';
import { checkProxies } from '#src/cli/doctor/proxies.js';
import { grantsFor, TABLE_PRIVILEGES } from '#src/database/privileges.js';
import { signUpWithApp } from './authenticator-app.js';
import { CLI, commandLine, environment } from './command-line.js';
import { createEmptyDatabase, newCredentials, post, type Service, startService, testConfig, until } from './helper.js';
import { startPgBouncer, withoutPgBouncer } from './pgbouncer.js';
import { startRedis, withoutRedis } from './redis.js';

const SERVER = fileURLToPath(new URL('../dist/server.js', import.meta.url));

type Environment = Record<string, string | undefined>;
type Diagnosis = { code: number | null; findings: Finding[]; output: string };

/** Runs the command with an environment of nothing else. */
async function doctor(t: Test, env: Environment, args = ''): Promise<Diagnosis> {
  const child = spawn(process.execPath, [CLI, 'doctor', '--json', ...args.split(' ').filter(Boolean)], {
    env: { PATH: process.env['PATH'], BCRYPT_COST: '4', ...env },
  });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  const output = stdout + stderr;
  tellsNoSecret(t, output, env);
  return { code, findings: JSON.parse(stdout).checks, output };
}

/** Does what the command does, in this process: quicker. */
async function diagnose(t: Test, env: Environment): Promise<Diagnosis> {
  const findings = await examine({ BCRYPT_COST: '4', ...env });
  const output = JSON.stringify(findings);
  tellsNoSecret(t, output, env);
  return { code: findings.some(({ status }) => status === 'fail') ? 1 : 0, findings, output };
}

function tellsNoSecret(t: Test, output: string, env: Environment): void {
  for (const secret of secretsOf(env)) t.notMatch(output, secret, 'no secret is told');
  t.notMatch(output, /canary|^ +at /m, 'nor a stack');
}

function secretsOf(env: Environment): string[] {
  const passwords = [env['DATABASE_URL'], env['REDIS_URL'], env['PUBLIC_URL']].flatMap(
    url => /:\/\/[^:/]*:([^@]+)@/.exec(url ?? '')?.[1] ?? [],
  );
  const keys = (env['AUTH_SECRETS'] ?? '').split(',').flatMap(entry => entry.split(':')[1] ?? []);
  return [...passwords, ...keys];
}

/** What was found under a name, and is not good. */
const troubles = ({ findings }: Diagnosis, name: string) =>
  findings.filter(finding => finding.name === name && finding.status !== 'ok');
const named = ({ findings }: Diagnosis, name: string) => findings.filter(finding => finding.name === name);
const failures = ({ findings }: Diagnosis) =>
  findings.filter(({ status }) => status === 'fail').map(({ name }) => name);

/** The settings of a service, with a PUBLIC_URL that is not looked up anywhere. */
const settingsOf = (service: Service): Environment => ({ ...environment(service), PUBLIC_URL: 'https://127.0.0.1:1' });

/** Where nobody listens. */
async function closedUrl(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return `http://127.0.0.1:${port}`;
}

const production = (databaseUrl: string, more: Record<string, string> = {}) => ({
  NODE_ENV: 'production',
  DATABASE_URL: databaseUrl,
  AUTH_SECRETS: `one:${randomBytes(32).toString('base64')}`,
  PUBLIC_URL: 'https://127.0.0.1:1',
  TRUST_PROXY: '10.0.0.0/8',
  ...more,
});

/** Makes a role that may do just what the list says. */
async function createServingRole(t: Test, service: Service): Promise<{ url: string; role: string }> {
  const role = `serving_${randomBytes(6).toString('hex')}`;
  const password = randomBytes(12).toString('hex');
  await service.sql(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'; ${grantsFor(role)}`);
  t.teardown(async () => {
    const client = new pg.Client(service.config.databaseUrl);
    await client.connect();
    await client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    await client.end();
  });
  const url = new URL(service.config.databaseUrl);
  url.username = role;
  url.password = password;
  return { url: url.href, role };
}

/** Everything that is in the database of a service. */
async function contents({ sql }: Service): Promise<unknown> {
  const tables = [...Object.keys(TABLE_PRIVILEGES)];
  return Promise.all(tables.map(async table => (await sql(`SELECT t::text FROM auth.${table} t ORDER BY 1`)).rows));
}

/** A gateway before a service that is not there yet. */
async function startGateway(t: Test, headers: Record<string, string> = {}) {
  let target: string | undefined;
  const gateway = createHttpServer((incoming, response) => {
    if (target === undefined) return void response.writeHead(502).end();
    const onward = request(`${target}${incoming.url}`, { headers: { ...incoming.headers, ...headers } }, answer => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    onward.end();
  }).listen(0, '127.0.0.1');
  await once(gateway, 'listening');
  t.teardown(() => void gateway.close().closeAllConnections());
  const url = `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`;
  const leadTo = (base: string) => {
    target = base;
  };
  return { url, leadTo };
}

t.test('a healthy installation', async t => {
  const gateway = await startGateway(t, { 'x-request-id': 'of-the-gateway' });
  const service = await startService(t, { publicUrl: gateway.url, trustProxy: ['127.0.0.1'] });
  gateway.leadTo(service.base);
  const { url } = await createServingRole(t, service);
  await post(`${service.base}/auth/sign-up`, newCredentials());
  const before = await contents(service);
  const env = { ...environment(service), DATABASE_URL: url, TRUST_PROXY: '127.0.0.1', BCRYPT_COST: '10' };
  const found = await doctor(t, env);
  t.equal(found.code, 0, found.output);
  t.same(await contents(service), before, 'nothing was changed');
  t.match(
    Object.fromEntries(
      found.findings.filter(({ status }) => status === 'ok').map(({ name, detail }) => [name, detail]),
    ),
    {
      settings: 'valid, for production',
      secrets: '"one" of 32 bytes, the current one',
      TRUST_PROXY: 'the gateway is at 127.0.0.1',
      database: /^PostgreSQL 18\.\d+, "test_\w+" at 127\.0\.0\.1:\d+, as "serving_\w+", [\d.]+ ms away$/,
      'database-tls': /on this machine/,
      connections: /^\d+ of 397 in use; a replica opens up to 11/,
      pooler: 'there is none',
      clock: /^the clock of the database and this machine’s differ by [\d.]+ m?s at most$/,
      'gateway-clock': /^the clock of PUBLIC_URL and this machine’s differ by/,
      role: /no special powers/,
      migrations: /^\d+ migrations applied, up to 0\d\d_\w+$/,
      rights: 'the role has the rights that the service needs',
      'signing-keys': /^[\w-]{43} \(ES256\) has signed for /,
      PUBLIC_URL: `${gateway.url} leads to this installation`,
    },
  );
  // The server of the tests does without safety, and a busy machine is slow to respond.
  const unsafe = troubles(found, 'database').filter(({ detail }) => !/round trip/.test(detail));
  t.match(unsafe, [{ status: 'warn', detail: /fsync/ }]);
  t.match(troubles(found, 'PUBLIC_URL'), [
    { status: 'warn', detail: /not https/, advice: /^Expected where only this machine/ },
  ]);
  t.same(failures(found), []);
  t.equal((await doctor(t, env, '--strict')).code, 1, 'with --strict, warnings count');
  const names = found.findings.filter(({ status }) => status === 'ok').map(({ name }) => name);
  t.same(names, [...new Set(names)], 'no two checks have one name');

  const human = await commandLine(service)('doctor', '', { DATABASE_URL: url });
  t.match(human.stdout, /^✔ settings +valid, for production$/m);
  t.match(human.stdout, /^! database +a crash can lose .*\n +→ Set them to on\.$/m);
  t.match(human.stdout, /\n\n0 failed, \d+ warnings?\.\n$/);
  t.notMatch(human.stdout, '\x1b', 'no colours for a file');
});

t.test('the database cannot be reached, in every way there is', async t => {
  const databaseUrl = await createEmptyDatabase();
  const to = (change: Partial<Pick<URL, 'hostname' | 'port' | 'password' | 'pathname' | 'search'>>) =>
    Object.assign(new URL(databaseUrl), { password: 'canary-password' }, change).href;
  const listen = async (onConnection: (socket: import('node:net').Socket) => void) => {
    const server = createServer(socket => onConnection(socket.on('error', () => undefined))).listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => server.close());
    return String((server.address() as AddressInfo).port);
  };
  const silent = await listen(socket => t.teardown(() => socket.destroy()));
  const rude = await listen(socket => socket.destroy());
  const right = new URL(databaseUrl).password;
  const cases: [what: string, url: string, detail: RegExp][] = [
    ['no such host', to({ hostname: 'nowhere.invalid' }), /name nowhere\.invalid cannot be resolved/],
    ['nothing there', to({ port: '1' }), /nothing listens on 127\.0\.0\.1:1$/],
    ['no socket', 'postgresql://x:canary-password@/x?host=/nowhere', /nothing listens on the socket in \/nowhere/],
    ['silence', to({ port: silent }), /accepts connections, but does not respond within 5 s/],
    ['another program', to({ port: rude }), /closes the connection at once/],
    ['no TLS', to({ search: '?sslmode=verify-full' }), /TLS fails \(The server does not support SSL/],
    ['a wrong password', to({}), /refuses the role "postgres" \(password authentication failed/],
    ['no password', to({ password: '' }), /refuses the role "postgres" \(.*password must be/],
    ['no such database', to({ password: right, pathname: '/nowhere' }), /there is no database "nowhere"/],
  ];
  for (const [what, url, detail] of cases) {
    const before = performance.now();
    const found = await diagnose(t, production(url));
    t.equal(found.code, 1, what);
    t.match(named(found, 'database'), [{ status: 'fail', detail, advice: /\w/ }], what);
    if (/nothing there|no TLS|a wrong password|no such database|no socket/.test(what)) {
      const [{ detail = '', advice = '' } = {}] = named(found, 'database');
      const started = spawnSync(process.execPath, [SERVER], {
        env: production(url),
        encoding: 'utf8',
        timeout: 20_000,
      });
      t.ok(started.stderr.includes(`The database cannot be used: ${detail}. ${advice}`), `${what}: ${started.stderr}`);
    }
    t.match(named(found, 'migrations'), [{ status: 'skip', detail: 'skipped, because the database was not reached' }]);
    t.match(
      [...named(found, 'hashing'), ...named(found, 'stored-hashes')],
      [{ status: 'warn' }, { status: 'skip' }],
      'the rest is checked all the same',
    );
    t.ok(performance.now() - before < 15_000, `${what}: bounded`);
  }
});

t.test('every invalid setting is reported at once', async t => {
  const found = await doctor(t, { NODE_ENV: 'production', TRUST_PROXY: '1', BCRYPT_CSOT: '9' });
  t.equal(found.code, 1);
  t.same(
    found.findings.map(({ name, status, detail }) => [name, status, detail.split(/[ :]/, 1)[0]]),
    [
      ['settings', 'fail', 'BCRYPT_CSOT'],
      ['settings', 'fail', 'DATABASE_URL'],
      ['settings', 'fail', 'AUTH_SECRETS'],
      ['settings', 'fail', 'PUBLIC_URL'],
      ['settings', 'fail', 'TRUST_PROXY'],
      ['other checks', 'skip', 'skipped,'],
    ],
  );
});

t.test('a password that is not percent-encoded is reported as the service reports it', async t => {
  const found = await diagnose(t, production('postgresql://x:12/canary@127.0.0.1:1/x'));
  t.match(named(found, 'settings'), [{ status: 'fail', detail: /^DATABASE_URL is not a URL.*PGPASSWORD/ }]);
});

t.test('dangerous settings', async t => {
  const nowhere = 'postgresql://x:canary-password@127.0.0.1:1/x';
  const found = await diagnose(t, {
    ...production(nowhere, { PUBLIC_URL: 'http://auth.example.com', TRUST_PROXY: '' }),
    ...{ THROTTLE_ENABLED: 'false', ACCESS_TOKEN_TTL_S: '86400', LOG_LEVEL: 'trace', HASH_WORKERS: '64' },
    ...{ METRICS_PORT: '3000', AUTH_SECRETS: `weak:${Buffer.alloc(32, 7).toString('base64')}` },
  });
  for (const [name, status] of [
    ['PUBLIC_URL', 'fail'],
    ['THROTTLE_ENABLED', 'warn'],
    ['BCRYPT_COST', 'warn'],
    ['ACCESS_TOKEN_TTL_S', 'warn'],
    ['LOG_LEVEL', 'warn'],
    ['HASH_WORKERS', 'warn'],
    ['METRICS_PORT', 'fail'],
    ['TRUST_PROXY', 'warn'],
    ['secrets', 'warn'],
  ] as const) {
    t.match(troubles(found, name)[0], { status, advice: /\w/ }, name);
  }
  const leaking = await diagnose(t, production(nowhere, { PUBLIC_URL: 'https://ada:canary-secret@auth.example.com' }));
  t.match(troubles(leaking, 'PUBLIC_URL'), [
    { status: 'fail', detail: /a username or a password/ },
    { status: 'skip' },
  ]);
  const forgotten = await diagnose(t, {
    DATABASE_URL: nowhere,
    AUTH_SECRETS: `one:${randomBytes(32).toString('base64')}`,
    PUBLIC_URL: 'https://auth.example.com',
  });
  t.match(troubles(forgotten, 'NODE_ENV'), [{ status: 'warn' }]);
});

t.test('which proxies may be trusted', async t => {
  const judge = (...trustProxy: string[]) =>
    checkProxies({ trustProxy, production: true } as never).map(({ status }) => status);
  t.same(judge(), ['warn']);
  t.same(judge('10.0.0.0/8', '172.16.0.0/12', '::1', 'fd00::/8', '203.0.113.7', '104.16.0.0/13'), ['ok']);
  for (const everybody of ['0.0.0.0/0', '::/0', '128.0.0.0/1', '::ffff:0.0.0.0/96']) t.same(judge(everybody), ['fail']);
  for (const wide of ['10.0.0.0/7', '172.16.0.0/8', '8.0.0.0/8', '2000::/3', '::ffff:8.0.0.0/104']) {
    t.same(judge('10.0.0.1', wide), ['warn'], wide);
  }
});

t.test('migrations', async t => {
  const databaseUrl = await createEmptyDatabase();
  const found = await diagnose(t, production(databaseUrl));
  t.equal(found.code, 0, found.output);
  t.match(named(found, 'migrations'), [{ status: 'warn', detail: /none is applied; pending: 001_users, 002_/ }]);
  t.match(named(found, 'rights'), [{ status: 'skip', detail: /not migrated/ }]);
  t.match(named(found, 'signing-keys'), [{ status: 'skip', detail: /not migrated/ }]);
  const client = new pg.Client(databaseUrl);
  await client.connect();
  t.same((await client.query(`SELECT FROM pg_namespace WHERE nspname = 'auth'`)).rowCount, 0, 'and it does not do it');
  await client.end();

  const service = await startService(t);
  await service.sql(`DELETE FROM auth.migrations WHERE name = '009_password_cost'`);
  await service.sql(`INSERT INTO auth.migrations (name, run_on) VALUES ('999_later', now())`);
  const behind = await diagnose(t, settingsOf(service));
  t.match(named(behind, 'migrations'), [
    { status: 'warn', detail: /not all are applied; pending: 009_password_cost$/ },
    { status: 'warn', detail: /does not know 999_later/ },
  ]);
  const { url } = await createServingRole(t, service);
  const unable = await diagnose(t, { ...settingsOf(service), DATABASE_URL: url });
  t.match(named(unable, 'migrations')[0], { status: 'fail', detail: /this role may not apply them/ });
  const waiting = await diagnose(t, { ...settingsOf(service), MIGRATE_ON_START: 'false' });
  t.match(named(waiting, 'migrations')[0], { status: 'fail', detail: /the service waits for them/ });
});

t.test('secrets and keys', async t => {
  const service = await startService(t);
  await signUpWithApp(service);
  const right = settingsOf(service)['AUTH_SECRETS'] as string;
  const other = randomBytes(32).toString('base64');
  const look = (AUTH_SECRETS: string, more = {}) => diagnose(t, { ...settingsOf(service), AUTH_SECRETS, ...more });

  const foreign = await look(`two:${other}`);
  t.same(failures(foreign), ['signing-keys']);
  t.match(named(foreign, 'signing-keys')[0], {
    detail: /active key [\w-]{43} is sealed by the secret "one", which is not in AUTH_SECRETS/,
    advice: /latchkey keys retire [\w-]{43}/,
  });
  t.match(troubles(foreign, 'secrets-in-use'), [
    { status: 'warn', detail: /1 account cannot sign in: .*the secret "one"/ },
    { status: 'warn', detail: /1 authenticator app cannot be checked: .*the secret "one"/ },
  ]);

  const changed = await look(`one:${other}`);
  t.match(named(changed, 'signing-keys')[0], { status: 'fail', detail: /does not open the active key/ });

  const rotating = await look(`two:${other},${right}`);
  t.match(troubles(rotating, 'signing-keys'), [{ status: 'warn', detail: /still sealed by the older secret "one"/ }]);
  t.match(named(rotating, 'secrets-in-use')[0], {
    ...{ status: 'ok', detail: '"one" is needed by 1 password, 1 key and 1 authenticator app' },
  });
  await service.sql(`UPDATE auth.users SET hash_secret = 'two'; UPDATE auth.signing_keys SET secret_id = 'two'`);
  t.match(named(await look(`two:${other},${right}`), 'secrets-in-use')[0], {
    ...{ status: 'ok', detail: '"one" is needed by 0 passwords, 0 keys and 1 authenticator app' },
  });
  await service.sql(`UPDATE auth.users SET hash_secret = 'one'; UPDATE auth.signing_keys SET secret_id = 'one'`);

  const idle = await look(`${right},two:${other}`);
  t.match(troubles(idle, 'secrets-in-use'), [
    { status: 'warn', detail: /no password, key or authenticator app needs the secret "two"/ },
  ]);
  t.equal(idle.code, 0);

  const algorithm = await look(right, { TOKEN_ALGORITHM: 'EdDSA' });
  t.match(troubles(algorithm, 'signing-keys'), [{ status: 'warn', detail: /for ES256, but TOKEN_ALGORITHM is EdDSA/ }]);
  await service.sql(`UPDATE auth.signing_keys SET active_from = now() - interval '400 days'`);
  t.match(troubles(await look(right), 'signing-keys'), [{ status: 'warn', detail: /more than a year/ }]);

  await service.sql(`UPDATE auth.users SET password_hash = '$2b$07$' || repeat('a', 53)`);
  const unread = 'SELECT FROM auth.users WHERE hash_form IS NULL AND password_hash IS NOT NULL';
  await until(async () => (await service.sql(unread)).rowCount === 0, 'the service reads the hashes');
  t.match(troubles(await look(right), 'stored-hashes')[0], { status: 'warn', detail: /cost 7, so .* 8 times as long/ });
});

t.test('passkeys that a changed domain makes useless, and pages that may not use those of the domain', async t => {
  const service = await startService(t);
  const { id } = (await post(`${service.base}/auth/sign-up`, newCredentials())).body.user;
  const look = (more = {}) => diagnose(t, { ...settingsOf(service), PUBLIC_URL: 'https://auth.example.com', ...more });
  t.match(named(await look(), 'passkeys'), [{ status: 'ok', detail: '0 passkeys for auth.example.com' }]);
  await service.sql(
    `INSERT INTO auth.passkeys (account_id, id, credential_id, public_key, rp_id, name, sign_count, backup_eligible, backed_up, transports)
     SELECT $1, gen_random_uuid(), int8send(n), '', rp_id, 'Passkey', 0, true, true, '{}'
     FROM unnest(ARRAY['auth.example.com', 'auth.example.com', 'example.com']) WITH ORDINALITY AS made (rp_id, n)`,
    [id],
  );
  t.match(named(await look(), 'passkeys'), [
    { status: 'ok', detail: '2 passkeys for auth.example.com' },
    {
      status: 'warn',
      detail: '1 passkey of 1 account cannot be used: made for example.com, and the domain is auth.example.com now',
      advice: /^Set PASSKEY_RP_ID to example\.com/,
    },
  ]);
  const moved = await look({ PUBLIC_URL: 'https://login.example.org' });
  t.match(named(moved, 'passkeys'), [
    { status: 'ok', detail: '0 passkeys for login.example.org' },
    { status: 'warn', detail: /^2 passkeys of 1 account cannot be used: made for auth\.example\.com/ },
    { status: 'warn', detail: /^1 passkey / },
  ]);
  t.equal(failures(moved).includes('passkeys'), false);
  const wider = await look({ PASSKEY_RP_ID: 'example.com' });
  t.match(named(wider, 'passkeys'), [{ detail: '1 passkey for example.com' }, { detail: /^2 passkeys of 1 account/ }]);
  t.match(named(wider, 'passkey-origins'), [{ status: 'ok' }], 'those of PUBLIC_URL are of that domain');
  const related = 'https://auth.example.com,https://example.de,android:apk-key-hash:'.concat('a'.repeat(43));
  t.match(named(await look({ PASSKEY_RP_ID: 'example.com', PASSKEY_ORIGINS: related }), 'passkey-origins'), [
    {
      status: 'warn',
      detail: 'https://example.de is not of the domain example.com',
      advice: /https:\/\/example\.com\/\.well-known\/webauthn/,
    },
  ]);
  t.match(named(await look({ PUBLIC_URL: 'https://127.0.0.1:1' }), 'passkeys'), [
    { status: 'ok', detail: /^there are none, because https:\/\/127\.0\.0\.1:1 has no domain/ },
    { status: 'warn', detail: /^2 passkeys .* made for auth\.example\.com, and there is no domain now$/ },
    { status: 'warn' },
  ]);
});

t.test('the role has too few or too many rights', async t => {
  const service = await startService(t);
  const { url, role } = await createServingRole(t, service);
  const look = () => diagnose(t, { ...settingsOf(service), DATABASE_URL: url });

  await service.sql(`GRANT DELETE ON auth.clients TO ${role}`);
  t.match(troubles(await look(), 'rights'), [
    { status: 'warn', detail: /more than the service needs: DELETE on clients$/ },
  ]);
  await service.sql(`REVOKE DELETE ON auth.clients FROM ${role}; REVOKE DELETE ON auth.sessions FROM ${role}`);
  await service.sql(`REVOKE EXECUTE ON FUNCTION auth.password_cost FROM PUBLIC, ${role}`);
  const lacking = await look();
  t.equal(lacking.code, 1);
  t.match(troubles(lacking, 'rights'), [
    {
      status: 'fail',
      detail: `"${role}" lacks DELETE on sessions; EXECUTE on password_cost(text)`,
      advice: `Run "latchkey migrate --grant-to ${role}" as the role that owns the schema.`,
    },
  ]);
  await service.sql(`REVOKE USAGE ON SCHEMA auth FROM ${role}`);
  const out = await look();
  t.match(troubles(out, 'rights'), [{ status: 'fail', detail: /lacks USAGE on the schema auth/ }]);
  t.match(troubles(out, 'signing-keys'), [{ status: 'skip', detail: /the role may not read/ }]);

  t.match(troubles(await diagnose(t, settingsOf(service)), 'role'), [{ status: 'warn', detail: /is a superuser/ }]);
  await service.sql(`GRANT USAGE ON SCHEMA auth TO ${role}; ALTER ROLE ${role} CREATEDB CONNECTION LIMIT 3`);
  await service.sql(`ALTER ROLE ${role} SET default_transaction_read_only = on`);
  const limited = await look();
  t.match(troubles(limited, 'role'), [{ status: 'warn', detail: /may create databases/ }]);
  t.match(troubles(limited, 'connections'), [{ status: 'warn', detail: /the role may have 3/ }]);
  t.match(troubles(limited, 'database'), [{ status: 'fail', detail: /read_only is on/ }, { status: 'warn' }]);
});

t.test('the list of rights leaves no table out', async t => {
  const { sql } = await startService(t);
  const { rows } = await sql(
    `SELECT relname FROM pg_class WHERE relnamespace = 'auth'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1`,
  );
  t.same(
    rows.map(({ relname }) => relname),
    Object.keys(TABLE_PRIVILEGES),
  );
});

t.test('clocks that differ', async t => {
  const judge = (aheadMs: number, blurMs: number) => judgeClock('clock', aheadMs, blurMs, 'the database');
  t.match(judge(400, 5), { status: 'ok', detail: /differ by 400 ms at most/ });
  t.match(judge(-1500, 5), { status: 'warn', detail: /1\.5 s behind/ });
  t.match(judge(1500, 600), { status: 'ok' });
  t.match(judge(31_000, 5), { status: 'fail', detail: /31 s ahead of/ });

  const libfaketime = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';
  await t.test(
    'in a real process',
    { skip: existsSync(libfaketime) ? false : 'faketime is not installed' },
    async t => {
      const service = await startService(t);
      const env = { ...settingsOf(service), LD_PRELOAD: libfaketime, FAKETIME_DONT_FAKE_MONOTONIC: '1' };
      const behind = await doctor(t, { ...env, FAKETIME: '-7s' });
      t.match(named(behind, 'clock')[0], { status: 'warn', detail: /the database is 7 s ahead of/ });
      t.match(failures(await doctor(t, { ...env, FAKETIME: '+60s' })), ['clock']);
    },
  );
});

t.test('where PUBLIC_URL leads', async t => {
  const gateway = await startGateway(t);
  const service = await startService(t, { publicUrl: gateway.url, trustProxy: ['127.0.0.1'] });
  const look = async (PUBLIC_URL: string, more: Environment = {}) =>
    troubles(await diagnose(t, { ...settingsOf(service), PUBLIC_URL, ...more }), 'PUBLIC_URL').slice(1);

  t.match(await look(await closedUrl()), [{ status: 'warn', detail: /cannot be reached from here \(ECONNREFUSED\)/ }]);
  t.match(await look(gateway.url), [{ status: 'warn', detail: /responds with 502/ }]);
  gateway.leadTo(service.base);
  t.match(await look(`${gateway.url}/elsewhere`), [
    { status: 'fail', detail: /responds with 404 in place of the metadata/ },
  ]);
  t.match(await look(service.base), [{ status: 'fail', detail: /a service whose PUBLIC_URL is http:/ }]);
  t.same(await look(gateway.url), []);
  const found = await diagnose(t, environment(service));
  t.match(troubles(found, 'request-id'), [{ status: 'warn' }], 'this gateway passes on what callers say');
  const elsewhere = await startService(t, { publicUrl: gateway.url });
  gateway.leadTo(elsewhere.base);
  t.match(await look(gateway.url), [{ status: 'fail', detail: /does not publish the active key/ }]);
  const { databaseUrl } = await testConfig();
  await commandLine({ config: { ...service.config, databaseUrl } } as Service)('migrate');
  t.match(
    await look(gateway.url, { DATABASE_URL: databaseUrl }),
    [{ status: 'warn', detail: /leads to another installation: this database has no signing key/ }],
    'the database of a service that has not been started',
  );
  t.match(
    await look(gateway.url, { DATABASE_URL: 'postgresql://x@127.0.0.1:1/x' }),
    [{ status: 'skip', detail: /leads to a service with this PUBLIC_URL; .* was not checked, because/ }],
    'it says what was not checked',
  );

  const mute = createServer(socket => t.teardown(() => socket.on('error', () => undefined).destroy()));
  mute.listen(0, '127.0.0.1');
  await once(mute, 'listening');
  t.teardown(() => mute.close());
  const url = `http://127.0.0.1:${(mute.address() as AddressInfo).port}`;
  t.match(await look(url), [{ status: 'warn', detail: /no response in time/ }]);
});

t.test('behind PgBouncer', { skip: withoutPgBouncer }, async t => {
  const service = await startService(t);
  const look = (DATABASE_URL: string) => diagnose(t, { ...settingsOf(service), DATABASE_URL });
  const sessions = await startPgBouncer(t, service.config.databaseUrl, 'session');
  t.match(named(await look(sessions.url), 'pooler'), [{ detail: 'there is one that pools sessions' }]);

  const { url: serving, role } = await createServingRole(t, service);
  const transactions = await startPgBouncer(t, serving, 'transaction');
  const pooled = await look(transactions.url);
  t.match(named(pooled, 'pooler'), [{ status: 'ok', detail: /pools transactions/ }]);
  t.match(named(pooled, 'limits'), [
    { status: 'warn', advice: new RegExp(`ALTER ROLE "${role}" SET lock_timeout = '2s'; .*statement_timeout = '5s'`) },
  ]);
  t.same(failures(pooled), []);
  for (const limit of ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout']) {
    await service.sql(`ALTER ROLE ${role} SET ${limit} = '5s'`);
  }
  const limited = await startPgBouncer(t, serving, 'transaction');
  t.match(named(await look(limited.url), 'limits'), [{ status: 'ok' }]);

  const wrong = new URL(limited.url);
  wrong.password = 'canary-password';
  t.match(named(await look(wrong.href), 'database'), [{ status: 'fail', detail: /refuses the role/ }]);
});

t.test('a database that stops during the checks is reported once', { skip: withoutPgBouncer }, async t => {
  const postgres = await startThrowawayPostgres();
  const bouncer = await startPgBouncer(t, postgres.url, 'transaction');
  await postgres.stop();
  const before = performance.now();
  const found = await diagnose(t, production(bouncer.url));
  t.equal(found.code, 1);
  t.match(named(found, 'database')[0], { status: 'fail' });
  t.match(named(found, 'migrations'), [{ status: 'skip', detail: /the database was/ }]);
  t.ok(performance.now() - before < 25_000, 'bounded');
});

t.test('Redis', { skip: withoutRedis }, async t => {
  const service = await startService(t);
  const redis = await startRedis(t);
  const look = async (REDIS_URL: string) => named(await diagnose(t, { ...settingsOf(service), REDIS_URL }), 'redis');
  t.match(await look(redis.url), [{ status: 'ok', detail: /^Redis \d/ }]);
  const { Redis } = await import('ioredis');
  const admin = new Redis(redis.url);
  t.teardown(() => admin.disconnect());
  await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
  t.match(await look(redis.url), [{ status: 'ok' }, { status: 'warn', detail: /maxmemory-policy is allkeys-lru/ }]);
  await admin.config('SET', 'requirepass', 'canary-right');
  t.match(await look(redis.url.replace('//', '//:canary-wrong@')), [{ status: 'fail', detail: /WRONGPASS|NOAUTH/ }]);
  await redis.stop();
  t.match(await look(redis.url), [{ status: 'fail', detail: /Redis does not respond .*ECONNREFUSED/ }]);
});

t.test('the list of breached passwords', async t => {
  const service = await startService(t);
  const list = createHttpServer((request, response) => {
    if (request.url?.startsWith('/moved/')) response.writeHead(302, { location: request.url.slice('/moved'.length) });
    if (request.url?.startsWith('/broken/')) response.writeHead(500);
    if (request.url?.startsWith('/large/')) response.write('x'.repeat(2 ** 21));
    response.end(request.url === '/range/5BAA6' ? '1E4C9B93F3F0682250B6CF8331B7EE68FD8:10\r\n' : '');
  }).listen(0, '127.0.0.1');
  await once(list, 'listening');
  t.teardown(() => void list.close().closeAllConnections());
  const url = `http://127.0.0.1:${(list.address() as AddressInfo).port}`;
  const look = async (PASSWORD_BREACH_URL: string) =>
    named(await diagnose(t, { ...settingsOf(service), PASSWORD_BREACH_URL }), 'breach-list');
  t.match(await look(url), [{ status: 'ok' }]);
  t.match(await look(`${url}/wrong`), [{ status: 'warn', detail: /does not contain "password"/ }]);
  t.match(await look(`${url}/moved`), [{ status: 'warn', detail: /redirect/ }], 'goes nowhere else');
  t.match(await look(`${url}/broken`), [{ status: 'warn', detail: /responded 500/ }]);
  t.match(await look(`${url}/large`), [{ status: 'warn', detail: /larger than a list can be/ }]);
  t.match(await look(await closedUrl()), [{ status: 'warn', detail: /ECONNREFUSED/ }]);
});

t.test('in development, nothing is made', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-test-'));
  const home = join(folder, 'postgres');
  t.teardown(() => {
    rmSync(realpathSync(home), { recursive: true, force: true });
    rmSync(folder, { recursive: true, force: true });
  });
  const fresh = await doctor(t, { DATA_DIR: folder });
  t.equal(fresh.code, 0, fresh.output);
  t.match(named(fresh, 'database'), [{ status: 'warn', detail: /no embedded database in .* yet$/ }]);
  t.match(named(fresh, 'secrets')[0], { detail: /there is none yet/ });
  t.same(readdirSync(folder), []);

  const env = { PATH: process.env['PATH'], DATA_DIR: folder };
  const [missing, migrated, listed] = [['keys', 'list'], ['migrate'], ['keys', 'list']].map(args =>
    spawnSync(process.execPath, [CLI, ...args], { env, encoding: 'utf8' }),
  );
  t.match(missing, { status: 1, stderr: `There is no database in ${folder}. Run the command in the folder where` });
  t.match([migrated?.status, listed?.status], [0, 0]);
  const nobody = spawnSync(process.execPath, [CLI, 'users', 'show', 'nobody'], { env, encoding: 'utf8' });
  t.match(nobody, { status: 1, stderr: `There is no account nobody (embedded database in ${folder}).` });
  const found = await doctor(t, { DATA_DIR: folder });
  t.equal(found.code, 0, found.output);
  t.match(named(found, 'database'), [{ status: 'ok', detail: /^PostgreSQL 18\.\d+, embedded/ }]);
  t.match(named(found, 'role'), [{ status: 'ok' }]);
  t.match(named(found, 'signing-keys'), [{ status: 'ok', detail: /no key yet/ }]);
  t.notOk(existsSync(join(home, 'data', 'postmaster.pid')), 'and it runs no longer');
});
