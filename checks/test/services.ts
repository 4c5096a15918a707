import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { createAuthClient, type SignedIn } from '@latchkey/auth-client';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import getPort from 'get-port';
import type { Test } from 'tap';

const entry = (specifier: string) => fileURLToPath(import.meta.resolve(specifier));
const AUTH_SERVER = entry('@latchkey/auth-service/server');
const NOTES_SERVER = entry('@latchkey/notes-service/server');
const LATCHKEY = entry('@latchkey/auth-service/cli');

export const PASSWORD = 'open sesame 42';
export const newCredentials = () => ({ username: `user-${randomUUID().slice(0, 18)}`, password: PASSWORD });

export type Environment = Record<string, string>;

/** Settings of auth-service for production, without a database. */
export const authSettings = (): Environment => ({
  ...{ NODE_ENV: 'production', HOST: '127.0.0.1', PUBLIC_URL: 'https://auth.example.com', BCRYPT_COST: '4' },
  AUTH_SECRETS: `one:${randomBytes(32).toString('base64')}`,
});

/** Waits for a response from a URL, for as long as one can be hoped for. */
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

export type Running = { url: string; process: ChildProcess };

async function startServer(t: Test, server: string, env: Environment): Promise<Running> {
  const port = env['PORT'] ?? String(await getPort({ host: '127.0.0.1' }));
  const child = spawn(process.execPath, [server], {
    env: { ...env, PORT: port },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const url = `http://127.0.0.1:${port}`;
  await waitFor(`${url}/readyz`, () => child.exitCode === null);
  return { url, process: child };
}

/** Runs auth-service as a process, until the test ends. */
export const startAuthService = (t: Test, env: Environment) => startServer(t, AUTH_SERVER, env);

/** Runs the command line of auth-service to its end. */
export async function latchkey(env: Environment, args: string, input = '') {
  const child = spawn(process.execPath, [LATCHKEY, ...args.split(' ')], { env });
  child.stdin.on('error', () => undefined).end(input);
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>(resolve => child.once('close', resolve)),
  ]);
  return { stdout, stderr, code };
}

export type System = {
  authUrl: string;
  notesUrl: string;
  auth: ChildProcess;
  signUp: () => Promise<SignedIn>;
  /** The settings of auth-service. */
  authEnv: Environment;
  /** Starts another replica of auth-service; on the port of one that has ended, if given. */
  startReplica: (port?: number) => Promise<Running>;
};

/** Starts auth-service and notes-service on one database of their own. */
export async function startSystem(t: Test, more: Environment = {}): Promise<System> {
  const { url: DATABASE_URL, stop } = await startThrowawayPostgres();
  t.teardown(stop);
  const port = await getPort({ host: '127.0.0.1' });
  const authUrl = `http://127.0.0.1:${port}`;
  const authEnv = { ...authSettings(), DATABASE_URL, PUBLIC_URL: authUrl, TRUST_PROXY: '127.0.0.1', ...more };
  const startReplica = (port?: number) => startAuthService(t, { ...authEnv, ...(port && { PORT: String(port) }) });

  const { process: auth } = await startReplica(port);
  const created = await latchkey(authEnv, 'clients create notes-service --scope revocations:read --json');
  const { url: notesUrl } = await startServer(t, NOTES_SERVER, {
    ...{ NODE_ENV: 'production', HOST: '127.0.0.1', LOG_LEVEL: 'silent', DATABASE_URL },
    ...{ AUTH_URL: authUrl, AUTH_ISSUER: authUrl, AUTH_CLIENT_ID: 'notes-service' },
    AUTH_CLIENT_SECRET: JSON.parse(created.stdout).clientSecret,
  });
  const client = createAuthClient({ baseUrl: authUrl });
  return { authUrl, notesUrl, auth, authEnv, startReplica, signUp: () => client.signUp(newCredentials()) };
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
