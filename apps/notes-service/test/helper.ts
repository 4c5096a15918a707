import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { createAuthClient, type SignedIn } from '@latchkey/auth-client';
import getPort from 'get-port';
import pg from 'pg';
import type { Test } from 'tap';
import { buildApp } from '#src/app.js';

const AUTH_SERVER = fileURLToPath(new URL('../../auth-service/dist/server.js', import.meta.url));

export const PASSWORD = 'open sesame 42';

/** Makes an empty database on the throw-away server of this run. */
export async function createDatabase(): Promise<string> {
  const url = new URL(process.env['TEST_DATABASE_URL'] as string);
  const name = `test_${randomBytes(8).toString('hex')}`;
  const client = new pg.Client(url.href);
  await client.connect();
  await client.query(`CREATE DATABASE ${name}`);
  await client.end();
  url.pathname = `/${name}`;
  return url.href;
}

/** Waits until somebody answers, unless that is hopeless. */
export async function waitFor(url: string, isHopeful = () => true): Promise<void> {
  for (let i = 0; i < 500 && isHopeful(); i++) {
    if (
      await fetch(url).then(
        () => true,
        () => false,
      )
    )
      return;
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  throw new Error(`${url} does not answer`);
}

export type System = {
  authUrl: string;
  notesUrl: string;
  auth: ChildProcess;
  signUp: () => Promise<SignedIn>;
  sql: pg.Pool['query'];
  /** Starts another replica of auth-service; on the port of one that has ended, if given. */
  startReplica: (port?: number) => Promise<{ url: string; process: ChildProcess }>;
};

/** Starts the real auth-service as its own process, and notes-service, on one database. */
export async function startSystem(t: Test, authEnv: Record<string, string> = {}): Promise<System> {
  const databaseUrl = await createDatabase();
  const secret = randomBytes(32).toString('base64');
  const firstPort = await getPort({ host: '127.0.0.1' });
  const authUrl = `http://127.0.0.1:${firstPort}`;

  const spawnAuth = (port: number) => {
    const auth = spawn(process.execPath, [AUTH_SERVER], {
      env: {
        ...{ NODE_ENV: 'production', HOST: '127.0.0.1', PORT: `${port}`, PUBLIC_URL: authUrl },
        ...{ DATABASE_URL: databaseUrl, BCRYPT_COST: '4', TRUST_PROXY: '127.0.0.1', AUTH_SECRETS: `one:${secret}` },
        ...authEnv,
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    t.teardown(() => auth.kill('SIGKILL'));
    return auth;
  };
  const startReplica = async (port?: number) => {
    const chosen = port ?? (await getPort({ host: '127.0.0.1' }));
    const replica = { url: `http://127.0.0.1:${chosen}`, process: spawnAuth(chosen) };
    await waitFor(`${replica.url}/readyz`);
    return replica;
  };

  const auth = spawnAuth(firstPort);
  const app = await buildApp({
    ...{
      production: false,
      host: '127.0.0.1',
      port: 0,
      shutdownDelayMs: 0,
      dataDir: '',
      databaseUrl,
      logLevel: 'silent',
    },
    ...{ authUrl, authIssuer: authUrl, tokenAudience: 'latchkey', authMaxStalenessS: 60, authOnStale: 'open' },
  });
  const notesUrl = await app.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => app.close());
  await waitFor(`${authUrl}/readyz`);
  const client = createAuthClient({ baseUrl: authUrl });
  const signUp = () => client.signUp({ username: `user-${randomUUID().slice(0, 18)}`, password: PASSWORD });
  return { authUrl, notesUrl, auth, signUp, sql: app.pg.pool.query.bind(app.pg.pool) as System['sql'], startReplica };
}

export async function call(
  url: string,
  token?: string,
  init: { method?: string; body?: unknown; headers?: Record<string, string> } = {},
) {
  const response = await fetch(url, {
    method: init.method ?? 'GET',
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(init.body !== undefined && { 'content-type': 'application/json' }),
      ...init.headers,
    },
    ...(init.body !== undefined && { body: JSON.stringify(init.body) }),
  });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('content-type') ?? '');
  const body: any = isJson ? JSON.parse(text) : undefined;
  return { status: response.status, headers: response.headers, text, body };
}
