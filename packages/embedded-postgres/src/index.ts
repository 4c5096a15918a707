import { randomBytes } from 'node:crypto';
import { lstat, mkdir, mkdtemp, readdir, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Account, isOpenToAll, unprivilegedAccount } from './account.js';
import { backUp, type Cluster, ensureRunning, makeHome, serverPid, stopServer } from './cluster.js';
import { isAlive, withLock } from './lock.js';

export { type Account, unprivilegedAccount } from './account.js';

/** A running PostgreSQL. */
export interface EmbeddedPostgres {
  /** Connection string of the superuser, on the loopback address. */
  url: string;
  /** Folder that holds the cluster and its log. */
  home: string;
  /** Gives the server back; it stops when nobody else uses it. */
  stop(): Promise<void>;
}

/** A PostgreSQL for one run, whose server can be stopped and started again meanwhile. */
export interface ThrowawayPostgres extends EmbeddedPostgres {
  /** Process id of its postmaster; `undefined` when it was stopped. */
  pid(): Promise<number | undefined>;
  /** Stops the server and keeps its data; after `immediate` the next start has to recover them, as after a crash. */
  halt(mode: 'fast' | 'immediate'): Promise<void>;
  /** Starts the server again after a halt or a crash, where it was before. */
  start(): Promise<void>;
  /**
   * Copies all data, for which the server is stopped and started again.
   *
   * @returns what sets the data back to that copy, as a restore does; it may be called again
   */
  backUp(): Promise<() => Promise<void>>;
}

let users = 0;

/**
 * Starts a PostgreSQL whose data stay in `dataDir/postgres`, or joins the one that already runs there: several processes
 * may share it, one that was left running by a killed process is taken over, and the last user stops it.
 *
 * As root, PostgreSQL runs as `nobody`; where `nobody` may not enter `dataDir`, the cluster lives in
 * `/var/tmp` and `dataDir/postgres` is a link to it.
 *
 * @param dataDir folder for the cluster, made when missing
 * @throws Error when no binaries exist for this platform, or PostgreSQL does not start (the message names its log)
 */
export async function startPostgres(dataDir: string): Promise<EmbeddedPostgres> {
  const account = await unprivilegedAccount();
  await mkdir(dataDir, { recursive: true });
  const reachable = !account || (await isOpenToAll(resolve(dataDir)));
  const home = reachable ? join(resolve(dataDir), 'postgres') : await outsideHome(dataDir);
  const cluster: Cluster = { home, account, durable: true };
  await makeHome(home, account);
  const leases = join(home, 'users');
  await mkdir(leases, { recursive: true });
  const lease = join(leases, `${process.pid}.${++users}`);
  const lock = join(home, 'lock');

  const release = async () => {
    await rm(lease, { force: true });
    const others = (await readdir(leases)).map(name => Number.parseInt(name, 10));
    if (!others.some(isAlive)) await stopServer(cluster, 'fast');
  };
  const url = await withLock(lock, async () => {
    await writeFile(lease, '');
    return ensureRunning(cluster);
  });
  return { url, home, stop: () => withLock(lock, release) };
}

/** A place that `nobody` reaches; a link in the data folder leads there, so that removing that folder starts afresh. */
async function outsideHome(dataDir: string): Promise<string> {
  const link = join(resolve(dataDir), 'postgres');
  const home = join('/var/tmp', `latchkey-postgres-${randomBytes(8).toString('hex')}`);
  // The first of several starters decides.
  await symlink(home, link).catch(error => {
    if (error.code !== 'EEXIST') throw error;
  });
  return readlink(link).catch(cause => {
    throw new Error(`The user "nobody" cannot reach ${link}. Open its parent folders to all, or remove it.`, { cause });
  });
}

/**
 * Starts an empty PostgreSQL for one run of tests: fast, gone with {@link EmbeddedPostgres.stop}, and not crash-safe
 * unless `durable` is asked for. Also removes what killed runs left behind.
 */
export async function startThrowawayPostgres({
  durable = false,
}: {
  durable?: boolean;
} = {}): Promise<ThrowawayPostgres> {
  const account = await unprivilegedAccount();
  const prefix = 'latchkey-throwaway-';
  const remove = async (cluster: Cluster) => {
    await stopServer(cluster, 'immediate').catch(() => undefined);
    await rm(cluster.home, { recursive: true, force: true });
  };
  const parent = account && !(await isOpenToAll(tmpdir())) ? '/var/tmp' : tmpdir();
  for (const name of await readdir(parent)) {
    const owner = name.startsWith(prefix) && Number.parseInt(name.slice(prefix.length), 10);
    const left = join(parent, name);
    if (owner && !isAlive(owner) && (await isOurs(left, account))) await remove({ home: left, account, durable });
  }
  const home = await mkdtemp(join(parent, `${prefix}${process.pid}-`));
  await makeHome(home, account);
  const cluster: Cluster = { home, account, durable };
  try {
    const url = await ensureRunning(cluster);
    cluster.port = Number(new URL(url).port);
    return {
      url,
      home,
      pid: () => serverPid(cluster),
      halt: mode => stopServer(cluster, mode),
      start: async () => void (await ensureRunning(cluster)),
      backUp: () => backUp(cluster),
      stop: () => remove(cluster),
    };
  } catch (error) {
    await remove(cluster);
    throw error;
  }
}

/** Whether a folder is one of these runs'. In a shared folder others could leave one that names a process of their choice to stop. */
async function isOurs(folder: string, account: Account | undefined): Promise<boolean> {
  const found = await lstat(folder).catch(() => undefined);
  return found?.isDirectory() === true && [process.getuid?.(), account?.uid].includes(found.uid);
}
