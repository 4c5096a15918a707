import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withClient } from '@latchkey/service-kit/database';
import type pg from 'pg';
import type { Test } from 'tap';
import { buildApp } from '#src/app.js';
import { type Config, loadSettings } from '#src/config/settings.js';
import { migrator } from '#src/database/migrate.js';
import { assertDocumented, describeBy } from './documented.js';

/** The throw-away server that `with-postgres` started for this run. */
export function serverUrl(): string {
  const url = process.env['TEST_DATABASE_URL'];
  if (!url) throw new Error('TEST_DATABASE_URL is not set: run the tests with "pnpm test"');
  return url;
}

/** Makes an empty database. */
export function createEmptyDatabase(): Promise<string> {
  return withClient(serverUrl(), server => copyDatabase(server, 'template1'));
}

/** Makes a database as the migrations leave it: a copy of one that was migrated once in this run. */
export async function createDatabase(): Promise<string> {
  return withClient(serverUrl(), async server => {
    // Test files that run side by side share the server.
    await server.query('SELECT pg_advisory_lock(1)');
    const { rowCount } = await server.query(`SELECT FROM pg_database WHERE datname = 'migrated'`);
    if (rowCount === 0) {
      await server.query('CREATE DATABASE migrated');
      await migrator.migrate(urlOf('migrated'));
    }
    await server.query('SELECT pg_advisory_unlock(1)');
    return copyDatabase(server, 'migrated');
  });
}

async function copyDatabase(server: pg.Client, template: string): Promise<string> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await server.query(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  return urlOf(name);
}

function urlOf(database: string): string {
  const url = new URL(serverUrl());
  url.pathname = `/${database}`;
  return url.href;
}

const dataDirs: string[] = [];
process.once('exit', () => {
  for (const folder of dataDirs) rmSync(folder, { recursive: true, force: true });
});

/** A folder that a service may make. It stays until all services of this process have closed. */
function newDataDir(): string {
  const folder = join(tmpdir(), `latchkey-test-${randomUUID()}`);
  dataDirs.push(folder);
  return folder;
}

/** Settings that are quick, as the service's loader makes them of an environment, but for `overrides`. */
export async function testConfig(overrides: Partial<Config> = {}): Promise<Config> {
  const settings = loadSettings({
    AUTH_SECRETS: `one:${randomBytes(32).toString('base64')}`,
    PUBLIC_URL: 'https://auth.example.com',
    BCRYPT_COST: '4',
    HASH_MAX_WAIT_MS: '8000',
    THROTTLE_ENABLED: 'false',
  });
  const databaseUrl = overrides.databaseUrl ?? (await createDatabase());
  return { ...settings, port: 0, databaseUrl, dataDir: newDataDir(), ...overrides } as Config;
}

export type Service = {
  base: string;
  config: Config;
  logs: string[];
  app: Awaited<ReturnType<typeof buildApp>>;
  sql: pg.Pool['query'];
};

/** Starts the service as production does, on a port of its own, until the test ends. */
export async function startService(t: Test, overrides: Partial<Config> = {}): Promise<Service> {
  const config = await testConfig(overrides);
  const logs: string[] = [];
  const app = await buildApp(config, { write: line => void logs.push(line) });
  t.teardown(() => app.close());
  describeBy(app);
  await app.listen({ host: config.host, port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return {
    base: `http://127.0.0.1:${port}`,
    config,
    logs,
    app,
    sql: app.pg.pool.query.bind(app.pg.pool) as Service['sql'],
  };
}

export type Answer = { status: number; headers: Headers; body: any; text: string };

export async function call(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  const { status, headers } = response;
  const body = /json/.test(headers.get('content-type') ?? '') ? JSON.parse(text) : undefined;
  if (status >= 400) await assertDocumented(url, init.method ?? 'GET', status, body ?? {});
  return { status, headers, text, body };
}

export const post = (url: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> =>
  call(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
  });

export const get = (url: string, token?: string): Promise<Answer> =>
  call(url, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } });

export const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

/** Sends a request with an access token. */
export const send = (
  url: string,
  method: string,
  token: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> =>
  call(url, {
    method,
    headers: { ...bearer(token), ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });

export const newCredentials = () => ({ username: `user-${randomUUID().slice(0, 18)}`, password: 'open sesame 42' });

/** Decodes a segment of a token. */
export const segment = (token: string, index: number) =>
  JSON.parse(Buffer.from(token.split('.')[index] as string, 'base64url').toString());

/** Waits until something holds; fails when that takes too long. */
export async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

/** Stands between the service and its database; cut, it refuses and breaks every connection. */
export async function startWire(t: Test, databaseUrl: string) {
  const url = new URL(databaseUrl);
  const target = { host: url.hostname, port: Number(url.port) };
  const sockets = new Set<Socket>();
  const server = createServer(near => {
    const far = connect(target);
    for (const socket of [near, far]) sockets.add(socket.on('error', () => undefined));
    near.once('close', () => far.destroy()).pipe(far);
    far.once('close', () => near.destroy()).pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  url.port = String(port);
  const cut = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  t.teardown(cut);
  const repair = async () => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  return { url: url.href, cut, repair };
}

type ShownMail = { to: string; template: string; text: string; subject: string };

/** The mails that a service has sent to an address, the oldest first. */
export async function mailsTo({ base }: Pick<Service, 'base'>, email: string): Promise<ShownMail[]> {
  const { body } = await call(`${base}/dev/mailbox`, { headers: { accept: 'application/json' } });
  return (body as ShownMail[]).filter(({ to }) => to.toLowerCase() === email).reverse();
}
