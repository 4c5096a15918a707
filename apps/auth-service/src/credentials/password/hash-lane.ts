import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { CallerGoneError, HashFailedError, OverloadedError } from '../../http/errors.js';
import type { HashResult, HashTask } from './hash-worker.js';
import { type Owner, type Turns, takeTurns } from './turns.js';

/** Who waits for a hash. */
export type HashCaller = Owner & {
  /** Aborts when the caller has gone; a task that has not begun is then dropped. */
  gone: AbortSignal;
};

/** Where passwords are hashed: a few threads at low priority, and a short queue in which callers take turns. */
export type HashLane = {
  /**
   * Whether there is room for a caller, to be asked before anything else is done: `undefined`, or after how many seconds to
   * come back. Only the jobs that go before the caller's count; see {@link takeTurns}. While the account is not known yet, it
   * may be the first of one: ask again when it is.
   */
  refusal(owner: Owner): number | undefined;
  /**
   * Runs a task when its turn comes.
   *
   * @param cost what it costs, as bcrypt's cost
   * @throws OverloadedError at once when it would have to wait too long, and as soon as newcomers that go before it have
   *   made it so; HashFailedError when its thread died, or did not end and was replaced
   */
  run(task: HashTask, cost: number, caller: HashCaller): Promise<string | boolean>;
  /** How much waits and runs now, and how long a newcomer would wait that goes last, in milliseconds. */
  state(): { waiting: number; running: number; predictedWaitMs: number };
  /** Ends the threads. */
  close(): Promise<void>;
};

type Job = HashCaller & {
  task: HashTask;
  /** In rounds of bcrypt. */
  work: number;
  /** The work of later jobs that went before it. */
  passedBy: number;
  queuedAt: number;
  startedAt: number;
  resolve: (result: string | boolean) => void;
  reject: (error: Error) => void;
  forget: () => void;
};

const WORKER = fileURLToPath(import.meta.resolve('#src/credentials/password/hash-worker.js'));
// Idle threads end, which frees their memory.
const IDLE_MS = 60_000;
// A guess, as if so many rounds had been measured already; the clock soon knows better.
const FIRST_GUESS = { rounds: 4096, ms: 250 };
// What was measured a while ago counts half for every so many rounds since.
const HALF_LIFE_ROUNDS = 16_384;
const MAX_JITTER_S = 3;
// Each job keeps a request in memory. Time is the limit that is met first, unless hashes are very cheap.
const MAX_WAITING = 1000;
// Reading a body to learn the account costs as much as refusing without. While the queue is full, an address that is in it
// has so many bodies read; that is enough to be fair to those behind a gateway, and a flood from there stays cheap.
const MAX_LOOKS_PER_S = 100;
// Low priority on a busy machine may well make a hash take ten times as long.
const HANG_FACTOR = 30;
const DEFAULT_NICE = 10;
const HANG_MS = 15_000;

/** Options of {@link createHashLane}. */
export type HashLaneOptions = {
  /** How many hashes run at once. */
  workers: number;
  /** How far the priority of their threads is lowered, as with `nice`. */
  nice?: number;
  /** A caller that would have to wait longer is refused. */
  maxWaitMs: number;
  /** Called with how long a task waited when its turn comes. */
  onStart?: (waitedMs: number) => void;
  /** How many tasks wait at most. */
  maxWaiting?: number;
  /** How long a task may run before its thread is replaced, at least; one of a high cost may run 30 times as long as expected. */
  hangMs?: number;
  /** The module that the threads run. */
  worker?: string;
};

export function createHashLane(options: HashLaneOptions): HashLane {
  const {
    workers,
    nice = DEFAULT_NICE,
    maxWaitMs,
    onStart,
    maxWaiting = MAX_WAITING,
    hangMs = HANG_MS,
    worker = WORKER,
  } = options;
  const pool = new Piscina<HashTask, HashResult>({
    filename: worker,
    minThreads: 0,
    maxThreads: workers,
    concurrentTasksPerWorker: 1,
    idleTimeout: IDLE_MS,
    execArgv: [],
    argv: [String(nice)],
  });
  const waiting = new Set<Job>();
  const running = new Set<Job>();
  // Made anew after a change: a flood of refusals changes nothing.
  let turns: Turns<Job> | undefined;
  const measured = { ...FIRST_GUESS };

  const takenTurns = () => {
    turns ??= takeTurns(running, waiting);
    return turns;
  };
  const expectedMs = (work: number) => (work * measured.ms) / measured.rounds;
  /** How long until a thread is free for what goes behind these jobs and the running ones. */
  const predictedWaitMs = (before: readonly Job[]) => {
    if (running.size < workers) return 0;
    const now = performance.now();
    const left = Array.from(running, ({ work, startedAt }) => Math.max(0, expectedMs(work) - (now - startedAt)));
    // The next in turn waits for one thread, those behind it for a share of them all.
    if (before.length === 0) return Math.min(...left);
    const leftMs = sum(left) + sum(before.map(({ work }) => expectedMs(work)));
    return leftMs / workers;
  };

  const leave = (job: Job) => {
    waiting.delete(job);
    turns = undefined;
    job.forget();
  };
  const refuse = (job: Job, waitMs: number) => {
    leave(job);
    job.reject(overloaded(retryAfterS(waitMs)));
  };
  /** Jobs that a newcomer has put beyond the limits are refused at once. */
  const refuseBehind = (newcomer: Job) => {
    if (waiting.size <= maxWaiting && predictedWaitMs([...waiting]) <= maxWaitMs) return;
    const { order } = takenTurns();
    const newest = order.indexOf(newcomer);
    const before = order.slice(0, newest + 1);
    let waitMs = predictedWaitMs(before);
    for (const job of order.slice(newest + 1)) {
      if (waitMs > maxWaitMs || before.length >= maxWaiting) refuse(job, waitMs);
      else {
        before.push(job);
        waitMs += expectedMs(job.work) / workers;
      }
    }
  };
  /** No job waits for ever while newcomers go first. */
  const pass = (next: Job) => {
    for (const job of waiting) {
      if (job === next) return;
      job.passedBy += next.work;
      if (expectedMs(job.passedBy) / workers > maxWaitMs) refuse(job, maxWaitMs);
    }
  };
  const begin = (job: Job) => {
    pass(job);
    leave(job);
    void start(job);
  };
  const start = async (job: Job) => {
    running.add(job);
    turns = undefined;
    job.startedAt = performance.now();
    onStart?.(job.startedAt - job.queuedAt);
    const hangs = new AbortController();
    const limitMs = Math.max(hangMs, HANG_FACTOR * expectedMs(job.work));
    // Aborting ends the thread; the pool then has room for another.
    const watchdog = setTimeout(() => hangs.abort(new Error(`No result after ${Math.round(limitMs)} ms.`)), limitMs);
    try {
      const { value, tookMs } = await pool.run(job.task, { signal: hangs.signal });
      const fading = 0.5 ** (job.work / HALF_LIFE_ROUNDS);
      measured.rounds = measured.rounds * fading + job.work;
      measured.ms = measured.ms * fading + tookMs;
      job.resolve(value);
    } catch (cause) {
      job.reject(new HashFailedError({ cause }));
    } finally {
      clearTimeout(watchdog);
      // Chosen while this job still counts: otherwise, with one thread, its account's next would be a first one again.
      const [next] = takenTurns().order;
      running.delete(job);
      turns = undefined;
      if (next) begin(next);
    }
  };

  const mayLook = createAllowance(MAX_LOOKS_PER_S);
  const isHere = (address: string | undefined) => {
    for (const jobs of [running, waiting]) for (const job of jobs) if (job.address === address) return true;
    return false;
  };
  const refusal = (owner: Owner) => {
    const before = takenTurns().before(owner);
    const waitMs = predictedWaitMs(before);
    if (waitMs > maxWaitMs || before.length >= maxWaiting) return retryAfterS(waitMs);
    if (owner.account !== undefined || !isHere(owner.address)) return undefined;
    const lastMs = predictedWaitMs([...waiting]);
    return lastMs > maxWaitMs && !mayLook(owner.address) ? retryAfterS(lastMs) : undefined;
  };

  return {
    refusal,
    run(task, cost, caller) {
      return new Promise((resolve, reject) => {
        const { address, account, gone } = caller;
        if (gone.aborted) return reject(new CallerGoneError());
        const afterS = refusal(caller);
        if (afterS !== undefined) return reject(overloaded(afterS));
        const onGone = () => {
          leave(job);
          reject(new CallerGoneError());
        };
        const job: Job = {
          ...{ address, account, gone, task, resolve, reject },
          work: 2 ** cost,
          passedBy: 0,
          queuedAt: performance.now(),
          startedAt: 0,
          forget: () => gone.removeEventListener('abort', onGone),
        };
        waiting.add(job);
        turns = undefined;
        gone.addEventListener('abort', onGone);
        if (running.size < workers) begin(job);
        else refuseBehind(job);
      });
    },
    state: () => ({ waiting: waiting.size, running: running.size, predictedWaitMs: predictedWaitMs([...waiting]) }),
    close: () => pool.destroy(),
  };
}

/** Allows each key so much a second. */
function createAllowance<Key>(perSecond: number): (key: Key) => boolean {
  const used = new Map<Key, number>();
  let since = 0;
  return key => {
    const now = performance.now();
    if (now - since >= 1000) {
      since = now;
      used.clear();
    }
    const count = used.get(key) ?? 0;
    used.set(key, count + 1);
    return count < perSecond;
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function retryAfterS(waitMs: number): number {
  // Not all at the same moment.
  return Math.ceil(waitMs / 1000) + randomInt(MAX_JITTER_S);
}

function overloaded(afterS: number): Error {
  return Object.assign(new OverloadedError(), { headers: { 'retry-after': String(afterS) } });
}
