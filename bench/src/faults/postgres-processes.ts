import { readFile } from 'node:fs/promises';
import type { ThrowawayPostgres } from '@latchkey/embedded-postgres';
import { stopsOnce } from '../cleanup.js';
import { waitUntil } from './calls.js';

/** Kills PostgreSQL as a machine that dies does: all of its processes at once, with nothing written. */
export async function crash(postgres: ThrowawayPostgres): Promise<void> {
  const pids = await freeze(postgres);
  for (const pid of pids) signal(pid, 'SIGKILL');
  await waitUntil('PostgreSQL dies', async () => !(await Promise.all(pids.map(isRunning))).some(Boolean));
}

/** Stops the clock of all of its processes: connections stay, and nothing answers. */
export async function pause(postgres: ThrowawayPostgres): Promise<number[]> {
  const pids = await freeze(postgres);
  // Before anybody stops it, and waits in vain.
  stopsOnce(async () => resume(pids));
  return pids;
}

async function freeze(postgres: ThrowawayPostgres): Promise<number[]> {
  const postmaster = await postgres.pid();
  if (postmaster === undefined) throw new Error('PostgreSQL does not run');
  // First, so that it makes no others meanwhile.
  signal(postmaster, 'SIGSTOP');
  const children = await readFile(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8');
  const pids = [postmaster, ...children.trim().split(' ').filter(Boolean).map(Number)];
  for (const pid of pids) signal(pid, 'SIGSTOP');
  return pids;
}

export function resume(pids: number[]): void {
  for (const pid of pids) signal(pid, 'SIGCONT');
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    // It has ended by itself.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Whether the process is there, and not just its entry that nobody has collected yet. */
async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  return stat !== undefined && !/^\d+ \(.*\) Z/.test(stat);
}
