import { execFile, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Account, unprivilegedAccount } from '@latchkey/embedded-postgres';
import { stopsOnce } from '../../cleanup.js';

const run = promisify(execFile);

const PREFIX = 'latchkey-ha-';
/** What may run in a lab; whoever reads a log there is left alone. */
const PROGRAM = /^(etcd|haproxy|patroni|pgbouncer|postgres|pg_ctl|pg_rewind|pg_basebackup)$/;

/** A temporary folder and the programs that run in it, as an account without rights, which PostgreSQL insists on. */
export type Lab = {
  folder: string;
  account: Account | undefined;
  makeFolder(name: string): Promise<string>;
  write(name: string, text: string): Promise<string>;
  /** A free port that stays free while its program is away, because no outgoing connection is given one like it. */
  choosePort(): Promise<number>;
  /** Starts a program whose command line names a file of this folder: by that it is found again. */
  start(name: string, command: string, args: string[]): Promise<void>;
  /** Sends a signal to all that runs in a folder of the lab, or in all of it. */
  signal(name: string, signal: NodeJS.Signals): Promise<void>;
  /** Waits for something to come about, and says what the program's log ends with when it does not. */
  wait(what: string, name: string, isSo: () => Promise<boolean>, withinMs?: number): Promise<void>;
  close(): Promise<void>;
};

export async function openLab(): Promise<Lab> {
  await removeLeftovers();
  const account = await unprivilegedAccount();
  const folder = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`));
  if (account) await chown(folder, account.uid, account.gid);
  const log = (name: string) => join(folder, `${name}.log`);

  return {
    folder,
    account,
    async makeFolder(name) {
      const made = join(folder, name);
      await mkdir(made, { mode: 0o700 });
      if (account) await chown(made, account.uid, account.gid);
      return made;
    },
    async write(name, text) {
      const file = join(folder, name);
      await writeFile(file, text, { mode: 0o600 });
      if (account) await chown(file, account.uid, account.gid);
      return file;
    },
    async choosePort() {
      for (;;) {
        // Below those that Linux gives to outgoing connections.
        const port = randomInt(20_000, 32_000);
        const server = createServer();
        const isFree = await new Promise(resolve => {
          server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
        });
        if (isFree) return port;
      }
    },
    async start(name, command, args) {
      const output = openSync(log(name), 'a');
      const env = { PATH: `${process.env['PATH']}:/usr/sbin`, HOME: folder, LANG: 'C.UTF-8', PYTHONUNBUFFERED: '1' };
      // In a group of its own: Ctrl-C is for us alone, who then end all that runs here.
      const child = spawn(command, args, {
        cwd: folder,
        env,
        detached: true,
        stdio: ['ignore', output, output],
        ...account,
      });
      await once(child, 'spawn').finally(() => closeSync(output));
      child.unref();
    },
    signal: (name, signal) => signalAll(join(folder, name), signal),
    async wait(what, name, isSo, withinMs = 60_000) {
      const deadline = performance.now() + withinMs;
      while (!(await isSo().catch(() => false))) {
        if (performance.now() > deadline) {
          const lines = (await readFile(log(name), 'utf8').catch(() => '')).trimEnd().split('\n').slice(-15);
          throw new Error(`${what} did not come about in ${withinMs / 1000} s; ${name} says:\n${lines.join('\n')}`);
        }
        await setTimeout(100);
      }
    },
    close: stopsOnce(async () => {
      await signalAll(folder, 'SIGKILL');
      await rm(folder, { recursive: true, force: true });
    }),
  };
}

/** Ends what a killed run has left behind. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = name.startsWith(PREFIX) && Number.parseInt(name.slice(PREFIX.length), 10);
    if (!owner || kill(owner, 0)) continue;
    await signalAll(join(tmpdir(), name), 'SIGKILL');
    await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
}

const PS = ['-A', '-ww', '-o', 'pid=,ppid=,comm=,args='];
type Process = { pid: number; parent: number; program: string; commandLine: string };

/** Twice, for what was begun meanwhile; and what is killed must be gone. */
async function signalAll(folder: string, signal: NodeJS.Signals): Promise<void> {
  const find = async () => select(folder, (await run('ps', PS)).stdout);
  for (const { pid } of await find()) kill(pid, signal);
  for (const { pid } of await find()) kill(pid, signal);
  while (signal === 'SIGKILL' && (await find()).length > 0) await setTimeout(20);
}

/** The processes whose command line names the folder, and all that descend from them: parents first. */
function select(folder: string, list: string): Process[] {
  const all = list
    .split('\n')
    .map(line => /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line))
    .filter(match => match !== null)
    .map(([, pid, parent, program, commandLine]) => {
      return { pid: Number(pid), parent: Number(parent), program: program ?? '', commandLine: commandLine ?? '' };
    });
  const chosen = all.filter(
    ({ program, commandLine }) => PROGRAM.test(program) && new RegExp(`${folder}(/|\\s|$)`).test(commandLine),
  );
  for (const { pid } of chosen) {
    chosen.push(...all.filter(child => child.parent === pid && !chosen.includes(child)));
  }
  return chosen;
}

/** Whether there was such a process. */
function kill(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
