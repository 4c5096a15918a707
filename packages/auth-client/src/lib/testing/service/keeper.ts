// The process that keeps an auth-service and its database for a test. It ends both when the process of the test ends, however
// that ends: the channel between the two closes then.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What to start. */
export type Order = {
  /** The file of the auth-service. */
  server: string;
  /** Settings of the auth-service. */
  settings: Record<string, string>;
  /** URL of the module that starts a database, for settings that have none. */
  embeddedPostgres?: string;
};

/** The settings of the auth-service that is ready, or why there is none. */
export type Outcome = { settings: Record<string, string> } | { fault: string };

const MAX_OUTPUT = 4000;

const cleanups: (() => Promise<unknown>)[] = [];
let starting: Promise<unknown> | undefined;
let isStopping = false;

process.once('message', (order: Order) => {
  starting = start(order)
    .catch((error): Outcome => ({ fault: String((error as Error).message) }))
    .then(outcome => process.connected && process.send?.(outcome));
});
process.once('disconnect', stop);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);

async function stop(): Promise<void> {
  if (isStopping) return;
  isStopping = true;
  await starting;
  for (const cleanUp of cleanups.reverse()) await cleanUp();
  process.exit();
}

async function start({ server, settings, embeddedPostgres }: Order): Promise<Outcome> {
  const found =
    embeddedPostgres === undefined ? { DATA_DIR: await makeFolder() } : await startDatabase(embeddedPostgres);
  const env = { ...found, ...settings };
  // Its log goes to standard error: a program may read the standard output of a test.
  const service = spawn(process.execPath, [server], { env, stdio: ['ignore', 2, 'pipe', 'ipc'] });
  cleanups.push(() => kill(service));
  let output = '';
  service.stderr?.on('data', chunk => {
    process.stderr.write(chunk);
    output = `${output}${chunk}`.slice(-MAX_OUTPUT);
  });
  const isReady = await new Promise(resolve => {
    service.once('message', () => resolve(true)).once('close', () => resolve(false));
  });
  return isReady ? { settings: env } : { fault: `auth-service has not started.\n${output.trim()}` };
}

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-auth-service-'));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts a database. Its folder is removed with it, or by the next one when this process is killed. */
async function startDatabase(embeddedPostgres: string): Promise<{ DATABASE_URL: string; DATA_DIR: string }> {
  const { startThrowawayPostgres } = await import(embeddedPostgres);
  const { url, home, stop } = await startThrowawayPostgres();
  cleanups.push(stop);
  return { DATABASE_URL: url, DATA_DIR: home };
}

/** The service need not close: nothing of it is kept. */
async function kill(service: ChildProcess): Promise<void> {
  if (service.exitCode !== null || service.signalCode !== null) return;
  const ended = new Promise(resolve => service.once('exit', resolve));
  service.kill('SIGKILL');
  await ended;
}
