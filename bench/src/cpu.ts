// A ledger of CPU time by process, from Linux's /proc. Rates swing with whatever else a machine does; the CPU that a request takes
// swings less.
import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Whether this system has a ledger. */
export const HAS_LEDGER = existsSync('/proc/self/schedstat');

// The unit of /proc/PID/stat, on all of Linux's architectures that Node runs on.
const TICK_MS = 10;

/** A process or thread in /proc/PID/stat. CPU times are in milliseconds; `childrenMs` is that of children that have ended. */
export type Stat = { parent: number; cpuMs: number; childrenMs: number; nice: number };

/** Parses /proc/PID/stat: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
export function parseStat(text: string): Stat {
  // The name is in parentheses and may hold spaces and parentheses; the field behind it is the third.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const field = (n: number) => fields[n - 3] as number;
  return {
    parent: field(4),
    cpuMs: (field(14) + field(15)) * TICK_MS,
    childrenMs: (field(16) + field(17)) * TICK_MS,
    nice: field(19),
  };
}

/** Parses /proc/PID/schedstat: how long a thread has run, in milliseconds. */
export function parseSchedstat(text: string): number {
  return Number(text.slice(0, text.indexOf(' '))) / 1e6;
}

/** The CPU time of a process with all its threads, also those that have ended, in steps of 10 ms. */
export function cpuOfProcess(pid: number): number {
  return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8')).cpuMs;
}

/** The CPU time of a process's threads by whether they run at a lower priority than its first one. */
export function cpuByPriority(pid: number): { normal: number; low: number } {
  const threads = readdirSync(`/proc/${pid}/task`).map(tid => {
    const folder = `/proc/${pid}/task/${tid}`;
    const { nice } = parseStat(readFileSync(`${folder}/stat`, 'utf8'));
    return { nice, isFirst: tid === String(pid), cpuMs: parseSchedstat(readFileSync(`${folder}/schedstat`, 'utf8')) };
  });
  const nice = threads.find(({ isFirst }) => isFirst)?.nice ?? 0;
  const sum = (isLow: boolean) =>
    threads.filter(thread => thread.nice > nice === isLow).reduce((total, { cpuMs }) => total + cpuMs, 0);
  return { normal: sum(false), low: sum(true) };
}

/** The CPU time of PostgreSQL: of its postmaster, and of all processes that this has started. */
export function cpuOfPostgres(postmaster: number): number {
  const stat = parseStat(readFileSync(`/proc/${postmaster}/stat`, 'utf8'));
  const children = readFileSync(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8').split(' ').filter(Boolean);
  const running = [String(postmaster), ...children].map(pid => {
    try {
      return parseSchedstat(readFileSync(`/proc/${pid}/schedstat`, 'utf8'));
    } catch {
      // It has ended meanwhile: a short-lived worker.
      return 0;
    }
  });
  return running.reduce((total, ms) => total + ms, stat.childrenMs);
}
