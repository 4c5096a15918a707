import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type AuthClient, createAuthClient, type ServiceCredentials } from '../client.js';
import { readMailbox } from '../lib/testing/development-mailbox.js';
import type { TestMailbox } from '../lib/testing/mailbox.js';

export { readMailbox } from '../lib/testing/development-mailbox.js';

/** Options of {@link startAuthService}. */
export interface AuthServiceOptions {
  /** Settings of the service, such as `{ SIGN_UP: 'email' }`; see docs/settings.md. */
  settings?: Record<string, string>;
  /** Folder of the package that has `@latchkey/auth-service` among its devDependencies; the current folder by default. */
  from?: string;
}

/** An auth-service of a test. */
export interface RunningAuthService {
  /** Where it is reached, and the issuer of its tokens. */
  issuer: string;
  audience: string;
  /** A client of it. */
  auth: AuthClient;
  /** Makes the credentials of a service. */
  createClient(id: string, ...scopes: string[]): Promise<ServiceCredentials>;
  /** The mails that it has sent. */
  mailbox: TestMailbox;
  /** Ends it, and deletes its data. */
  stop(): Promise<void>;
}

const run = promisify(execFile);
const AUDIENCE = 'latchkey';
const PREFIX = 'latchkey-auth-service-';
const STOP_WITHIN_MS = 15_000;
const MAX_OUTPUT = 4000;

/**
 * Starts the real auth-service for a test: as a process of its own, on an embedded PostgreSQL in a temporary folder, with cheap hashes
 * and without throttles. It ends with {@link RunningAuthService.stop}, and with this process.
 *
 * @throws Error when `@latchkey/auth-service` is not found, is not built, or does not start; the message has its output
 */
export async function startAuthService({
  settings = {},
  from = process.cwd(),
}: AuthServiceOptions = {}): Promise<RunningAuthService> {
  const [server, cli] = [find('server', from), find('cli', from)] as const;
  await removeAbandoned();
  const dataDir = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`));
  // PostgreSQL does not run as root, and its user must enter the folder.
  await chmod(dataDir, 0o755);
  const port = await freePort();
  const issuer = settings['PUBLIC_URL'] ?? `http://localhost:${port}`;
  const env = {
    ...{ PATH: process.env['PATH'], NODE_ENV: 'development', DATA_DIR: dataDir, PORT: `${port}`, PUBLIC_URL: issuer },
    ...{ BCRYPT_COST: '4', THROTTLE_ENABLED: 'false', LOG_LEVEL: 'warn', TOKEN_AUDIENCE: AUDIENCE, ...settings },
  };
  const child = spawn(process.execPath, [server], { env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  const stop = async () => {
    const exited = isRunning(child) ? once(child, 'exit') : undefined;
    // The service ends with its parent, and PostgreSQL with the service.
    if (child.connected) child.disconnect();
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
    await exited;
    clearTimeout(timer);
    await rm(dataDir, { recursive: true, force: true });
  };
  try {
    await untilReady(child);
  } catch (error) {
    await stop();
    throw error;
  }
  const url = `http://localhost:${port}`;
  return {
    issuer,
    audience: env.TOKEN_AUDIENCE,
    auth: createAuthClient({ baseUrl: url }),
    mailbox: readMailbox(url),
    async createClient(id, ...scopes) {
      const args = [cli, 'clients', 'create', id, ...scopes.flatMap(scope => ['--scope', scope]), '--json'];
      const { stdout } = await run(process.execPath, args, { env });
      const { clientId, clientSecret } = JSON.parse(stdout);
      return { id: clientId, secret: clientSecret };
    },
    stop,
  };
}

const isRunning = ({ exitCode, signalCode }: ChildProcess) => exitCode === null && signalCode === null;

function find(entry: 'server' | 'cli', from: string): string {
  try {
    return createRequire(join(from, 'package.json')).resolve(`@latchkey/auth-service/${entry}`);
  } catch (cause) {
    throw new Error(
      `${from} has no @latchkey/auth-service: add "@latchkey/auth-service": "workspace:*" to its devDependencies, then install and build.`,
      { cause },
    );
  }
}

/** Resolves when the service says that it is ready. */
async function untilReady(child: ChildProcess): Promise<void> {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', chunk => {
      output = `${output}${chunk}`.slice(-MAX_OUTPUT);
    });
  }
  const [message] = await Promise.race([once(child, 'message'), once(child, 'exit')]);
  if (message !== 'ready') throw new Error(`auth-service has not started.\n${output}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Removes what processes have left behind that were killed. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = name.startsWith(PREFIX) ? Number.parseInt(name.slice(PREFIX.length), 10) : Number.NaN;
    if (owner > 0 && !isAlive(owner)) await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
