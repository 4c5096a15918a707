import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, chown, cp, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import getPort from 'get-port';
import { type Account, isOpenToAll } from './account.js';
import { nativeFolder } from './binaries.js';
import { isAlive } from './lock.js';

const run = promisify(execFile);

/** A database cluster in a folder: `data` (PGDATA), `log`, and a copy of the binaries where PostgreSQL cannot reach ours. */
export type Cluster = {
  home: string;
  account: Account | undefined;
  /** Whether it must survive a crash of the machine. */
  durable: boolean;
  /** Where it listens; a free port by default. */
  port?: number;
};

/** Starts the server of a cluster, or finds it running, and says how to connect as its superuser. */
export async function ensureRunning(cluster: Cluster): Promise<string> {
  const data = join(cluster.home, 'data');
  await initialise(cluster);
  const port = (await runningPort(data)) ?? (await startServer(cluster));
  const password = await readFile(join(data, 'superuser-password'), 'utf8');
  return `postgresql://postgres:${password}@127.0.0.1:${port}/postgres`;
}

/** Stops the server of a cluster, if it runs; `immediate` does not even write a checkpoint. */
export async function stopServer(cluster: Cluster, mode: 'fast' | 'immediate'): Promise<void> {
  const data = join(cluster.home, 'data');
  if (await runningPort(data)) await runTool(cluster, 'pg_ctl', ['stop', '--pgdata', data, '--mode', mode, '--wait']);
}

/** Copies the data of a stopped cluster, starts it again, and returns what sets the data back to the copy. */
export async function backUp(cluster: Cluster): Promise<() => Promise<void>> {
  const data = join(cluster.home, 'data');
  const copy = join(cluster.home, `backup-${randomBytes(4).toString('hex')}`);
  // It keeps the owner, as the copies of Node do not.
  const copyAll = (from: string, to: string) => run('cp', ['-a', from, to]);
  await stopServer(cluster, 'fast');
  await copyAll(data, copy);
  await ensureRunning(cluster);
  return async () => {
    await stopServer(cluster, 'immediate');
    await rm(data, { recursive: true, force: true });
    await copyAll(copy, data);
    await ensureRunning(cluster);
  };
}

/** Process id of the cluster's postmaster, as it wrote it down; `undefined` when it was stopped. */
export async function serverPid({ home }: Cluster): Promise<number | undefined> {
  const text = await readFile(join(home, 'data', 'postmaster.pid'), 'utf8').catch(() => '');
  return Number.parseInt(text, 10) || undefined;
}

/**
 * Runs `initdb` beside the final folder and moves the result into place, so that a killed or a concurrent run never
 * leaves half a cluster there.
 */
async function initialise(cluster: Cluster): Promise<void> {
  const data = join(cluster.home, 'data');
  if (await exists(join(data, 'PG_VERSION'))) return;
  const draft = join(cluster.home, 'data.draft');
  const passwordFile = join(cluster.home, 'password.draft');
  await rm(draft, { recursive: true, force: true });
  const password = randomBytes(24).toString('hex');
  await writeOwned(cluster, passwordFile, password);
  await runTool(cluster, 'initdb', [
    ...['--pgdata', draft, '--username', 'postgres', '--pwfile', passwordFile, '--auth', 'scram-sha-256'],
    ...['--encoding', 'UTF8', '--locale', 'C', ...(cluster.durable ? [] : ['--no-sync'])],
  ]);
  await rename(passwordFile, join(draft, 'superuser-password'));
  await rename(draft, data);
}

/** The port that a running server of this cluster listens on, waiting while it starts or stops. */
async function runningPort(data: string): Promise<number | undefined> {
  for (let attempt = 0; attempt < 600; attempt++) {
    const lines = (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
    const pid = Number(lines[0]);
    if (!pid || !isAlive(pid)) return undefined;
    const port = Number(lines[3]);
    if (lines[7]?.trim() === 'ready') return (await isListening(port)) ? port : undefined;
    await setTimeout(50);
  }
  throw new Error(`PostgreSQL in ${data} neither starts nor stops. End the process in postmaster.pid and try again.`);
}

async function startServer(cluster: Cluster): Promise<number> {
  const port = cluster.port ?? (await getPort({ host: '127.0.0.1' }));
  const settings = [
    `port=${port}`,
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    // Test files that run side by side share it, each with replicas that have pools.
    ...(cluster.durable ? [] : ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'max_connections=400']),
  ];
  const log = join(cluster.home, 'log');
  const options = settings.map(setting => `-c ${setting}`).join(' ');
  const data = join(cluster.home, 'data');
  // After a crash the processes of the old server may take a moment to end, and a new one refuses to start meanwhile.
  const attempts = (await exists(join(data, 'postmaster.pid'))) ? 20 : 1;
  for (let attempt = 1; ; attempt++) {
    try {
      await runTool(cluster, 'pg_ctl', ['start', '--pgdata', data, '--log', log, '--options', options, '--wait']);
      return port;
    } catch (cause) {
      if (attempt >= attempts) throw new Error(`The embedded PostgreSQL does not start; ${log} says why.`, { cause });
      await setTimeout(250);
    }
  }
}

/** Runs one of PostgreSQL's tools as the cluster's account. Its working folder must be one that the account may enter. */
async function runTool({ home, account }: Cluster, tool: 'initdb' | 'pg_ctl', args: string[]): Promise<void> {
  const native = await reachableNative(home, account);
  await run(join(native, 'bin', tool), args, { cwd: home, ...account });
}

/** The binaries, copied next to the data when the other account may not enter the folder they were installed in. */
async function reachableNative(home: string, account: Account | undefined): Promise<string> {
  const native = await nativeFolder();
  if (!account || (await isOpenToAll(native))) return native;
  const copy = join(home, 'native');
  if (!(await exists(copy))) {
    const draft = `${copy}.draft`;
    await rm(draft, { recursive: true, force: true });
    await cp(native, draft, { recursive: true, verbatimSymlinks: true });
    await rename(draft, copy);
  }
  return copy;
}

async function writeOwned({ account }: Cluster, file: string, text: string): Promise<void> {
  await writeFile(file, text, { mode: 0o600 });
  if (account) await chown(file, account.uid, account.gid);
}

/** Makes a folder that belongs to the account alone. */
export async function makeHome(home: string, account: Account | undefined): Promise<void> {
  await mkdir(home, { recursive: true, mode: 0o700 });
  if (account) await chown(home, account.uid, account.gid);
  const { uid } = await stat(home);
  if (account && uid !== account.uid) throw new Error(`${home} belongs to somebody else.`);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function isListening(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}
