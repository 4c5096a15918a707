import { execFile, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { unprivilegedAccount } from '@latchkey/embedded-postgres';
import { stopsOnce } from '../../cleanup.js';

const run = promisify(execFile);

// Every account can enter it, whatever TMPDIR says, and names of sockets in it are short enough.
const PARENT = '/tmp';
const PREFIX = 'latchkey-ha-';
/** What may run in a lab; other programs that have a file there open are left alone. */
const PROGRAM = /^(etcd|haproxy|patroni|pgbouncer|postgres|pg_ctl|pg_rewind|pg_basebackup)$/;

/** A temporary folder and the programs that run in it, as an account without rights, which PostgreSQL insists on. */
export type Lab = {
  makeFolder(name: string): Promise<string>;
  write(name: string, text: string): Promise<string>;
  /** A free port that stays free while its program is away, because no outgoing connection is given one like it. */
  choosePort(): Promise<number>;
  /** Starts a program whose command line names a file of this folder: by that it is found again. */
  start(name: string, command: string, args: string[]): Promise<void>;
  /** Sends a signal to all that runs in a folder of the lab, or in all of it. */
  signal(name: string, signal: NodeJS.Signals): Promise<void>;
  /** Waits for something that programs bring about, and says how their logs end when it does not come, or they end. */
  wait(what: string, names: string[], isSo: () => Promise<boolean>, withinMs?: number): Promise<void>;
  close(): Promise<void>;
};

export async function openLab(): Promise<Lab> {
  await removeLeftovers();
  const account = await unprivilegedAccount();
  const folder = await mkdtemp(join(PARENT, `${PREFIX}${process.pid}-`));
  if (account) await chown(folder, account.uid, account.gid);
  const log = (name: string) => join(folder, `${name}.log`);
  const endOf = async (name: string) => {
    const lines = (await readFile(log(name), 'utf8').catch(() => '')).trimEnd().split('\n');
    return `The log of ${name} ends with:\n${lines.slice(-10).join('\n')}`;
  };
  const ports = new Set<number>();
  const ended = new Set<string>();

  return {
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
        if (isFree && !ports.has(port)) {
          ports.add(port);
          return port;
        }
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
      ended.delete(name);
      child.once('exit', () => ended.add(name));
      child.unref();
    },
    signal: (name, signal) => signalAll(join(folder, name), signal),
    async wait(what, names, isSo, withinMs = 60_000) {
      const deadline = performance.now() + withinMs;
      while (!(await isSo().catch(() => false))) {
        const dead = names.filter(name => ended.has(name));
        if (dead.length === 0 && performance.now() < deadline) {
          await setTimeout(100);
          continue;
        }
        const why = dead.length > 0 ? `${dead.join(', ')} ended` : `not within ${withinMs / 1000} s`;
        const logs = await Promise.all((dead.length > 0 ? dead : names).map(endOf));
        throw new Error([`${what}: ${why}.`, ...logs].join('\n'));
      }
    },
    close: stopsOnce(async () => {
      await signalAll(folder, 'SIGKILL');
      await rm(folder, { recursive: true, force: true });
    }),
  };
}

/** Ends what a killed run has left behind, and leaves alone what somebody else's did. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(PARENT)) {
    const owner = name.startsWith(PREFIX) && Number.parseInt(name.slice(PREFIX.length), 10);
    if (!owner || isAlive(owner)) continue;
    await signalAll(join(PARENT, name), 'SIGKILL').catch(() => undefined);
    await rm(join(PARENT, name), { recursive: true, force: true }).catch(() => undefined);
  }
}

const PS = ['-A', '-ww', '-o', 'pid=,ppid=,comm=,args='];
type Process = { pid: number; parent: number; program: string; commandLine: string };

async function signalAll(folder: string, signal: NodeJS.Signals): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const found = await processesOf(folder);
    for (const { pid } of found) kill(pid, signal);
    // Once more, for what was begun meanwhile; and what is killed must be gone.
    if (signal === 'SIGKILL' ? found.length === 0 : attempt === 2) return;
    if (attempt === 250) throw new Error(`These do not end: ${found.map(({ commandLine }) => commandLine).join(', ')}`);
    await setTimeout(20);
  }
}

/** The processes whose command line names the folder, and all that descend from them: parents first. */
async function processesOf(folder: string): Promise<Process[]> {
  const { stdout } = await run('ps', PS);
  const all = stdout.split('\n').flatMap(line => {
    const [, pid, parent, program = '', commandLine = ''] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    return pid === undefined ? [] : [{ pid: Number(pid), parent: Number(parent), program, commandLine }];
  });
  const named = new RegExp(`${folder}(/|\\s|$)`);
  const found = all.filter(({ program, commandLine }) => PROGRAM.test(program) && named.test(commandLine));
  // Grows while it is walked through.
  for (const { pid } of found) found.push(...all.filter(child => child.parent === pid && !found.includes(child)));
  return found;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It has ended by itself.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
