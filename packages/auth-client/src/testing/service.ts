import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { type AuthClient, createAuthClient, type ServiceCredentials } from '../client.js';
import { readMailbox } from '../lib/testing/development-mailbox.js';
import type { TestMailbox } from '../lib/testing/mailbox.js';
import { findEmbeddedPostgres, findService } from '../lib/testing/service/find-service.js';
import type { Order, Outcome } from '../lib/testing/service/keeper.js';
import { runCli } from '../lib/testing/service/run-cli.js';

export { readMailbox } from '../lib/testing/development-mailbox.js';

/** Options of {@link startAuthService}. */
export interface AuthServiceOptions {
  /** Settings of the service, such as `{ SIGN_UP: 'email' }`; see docs/settings.md. */
  settings?: Record<string, string>;
  /** Folder of the package that has `@latchkey/auth-service` among its devDependencies; the current folder by default. */
  from?: string;
}

/** An auth-service of a test. */
export interface RunningAuthService extends AsyncDisposable {
  /** Where it is reached. */
  url: string;
  /** The issuer of its tokens: `url`, unless `PUBLIC_URL` is set. */
  issuer: string;
  audience: string;
  /** A client of it. */
  auth: AuthClient;
  /**
   * Makes the credentials of a service.
   *
   * @throws Error when the client exists, or its id or a scope is invalid
   */
  createClient(id: string, ...scopes: string[]): Promise<ServiceCredentials>;
  /** The mails that it has sent. */
  mailbox: TestMailbox;
  /** Ends it, and deletes its data. */
  stop(): Promise<void>;
}

const KEEPER = fileURLToPath(new URL('../lib/testing/service/keeper.js', import.meta.url));

/**
 * Starts the real auth-service for a test: as a process of its own, on an embedded PostgreSQL in a temporary folder, with cheap hashes
 * and without throttles. It ends with {@link RunningAuthService.stop}, and with this process, however that ends. Only errors are
 * logged, to standard error, unless `LOG_LEVEL` says otherwise.
 *
 * @throws Error when `@latchkey/auth-service` is not found, is not built, or does not start; the message has its output
 */
export async function startAuthService({
  settings = {},
  from = process.cwd(),
}: AuthServiceOptions = {}): Promise<RunningAuthService> {
  const { server, cli } = findService(from);
  const { PORT = `${await findFreePort()}`, ...others } = settings;
  const url = `http://localhost:${PORT}`;
  const order: Order = {
    server,
    settings: { ...testSettings(), PORT, PUBLIC_URL: url, ...others },
    ...(!settings['DATABASE_URL'] && { embeddedPostgres: findEmbeddedPostgres(server) }),
  };
  const { settings: env, stop } = await keep(order);
  return {
    url,
    issuer: env['PUBLIC_URL'] as string,
    audience: env['TOKEN_AUDIENCE'] as string,
    auth: createAuthClient({ baseUrl: url }),
    mailbox: readMailbox(url),
    async createClient(id, ...scopes) {
      const args = ['clients', 'create', ...scopes.flatMap(scope => ['--scope', scope]), '--json', '--', id];
      const { clientId, clientSecret } = JSON.parse(await runCli(cli, args, env));
      return { id: clientId, secret: clientSecret };
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function testSettings(): Record<string, string> {
  return {
    ...{ NODE_ENV: 'development', LOG_LEVEL: 'error', TOKEN_AUDIENCE: 'latchkey' },
    ...{ BCRYPT_COST: '4', THROTTLE_ENABLED: 'false' },
    AUTH_SECRETS: `test:${randomBytes(32).toString('base64')}`,
  };
}

/** Starts a keeper, which neither outlives this process nor keeps it alive. */
async function keep(order: Order): Promise<{ settings: Record<string, string>; stop: () => Promise<void> }> {
  const keeper = fork(KEEPER, { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const ended = new Promise(resolve => keeper.once('exit', resolve));
  const stop = async () => {
    keeper.ref();
    if (keeper.connected) keeper.disconnect();
    await ended;
  };
  keeper.send(order);
  const outcome = await Promise.race([
    once(keeper, 'message').then(([message]) => message as Outcome),
    ended.then((): Outcome => ({ fault: 'The process that starts auth-service has ended.' })),
  ]);
  if ('fault' in outcome) {
    await stop();
    throw new Error(outcome.fault);
  }
  keeper.unref();
  keeper.channel?.unref();
  return { ...outcome, stop };
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
