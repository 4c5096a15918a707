import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { CallerGoneError, HashFailedError, OverloadedError } from '../errors.js';
import type { HashResult, HashTask } from './hash-worker.js';

/** Where passwords are hashed: a few threads at low priority, and a queue that is never long. */
export type HashLane = {
  /**
   * Whether there is room, to be asked before anything else is done for a caller: `undefined`, or after how many seconds
   * to come back.
   */
  refusal(): number | undefined;
  /**
   * Runs a task when its turn comes.
   *
   * @param cost what it costs, as bcrypt's cost
   * @param caller aborts when whoever waits for it has gone; a task that has not begun is then forgotten
   * @throws OverloadedError at once when it would have to wait too long, HashFailedError when its thread died
   */
  run(task: HashTask, cost: number, caller: AbortSignal): Promise<string | boolean>;
  /** How much waits and runs now, and how long a newcomer would wait, in milliseconds. */
  state(): { waiting: number; running: number; predictedWaitMs: number };
  /** Ends the threads. */
  close(): Promise<void>;
};

type Job = {
  task: HashTask;
  /** In rounds of bcrypt. */
  work: number;
  queuedAt: number;
  startedAt: number;
  resolve: (result: string | boolean) => void;
  reject: (error: Error) => void;
  forget: () => void;
};

// The built one, also when tests run the source: threads do not go through the tests' loader.
const WORKER = fileURLToPath(new URL('../../dist/passwords/hash-worker.js', import.meta.url));
// Threads that nobody needs give their memory back.
const IDLE_MS = 60_000;
// A guess, as if so many rounds had been measured already; the clock soon knows better.
const FIRST_GUESS = { rounds: 4096, ms: 250 };
// What was measured a while ago counts half for every so many rounds since.
const HALF_LIFE_ROUNDS = 16_384;
const MAX_JITTER_S = 3;

/** Options of {@link createHashLane}. */
export type HashLaneOptions = {
  /** How many hashes run at once. */
  workers: number;
  /** Who would have to wait longer than that is refused. */
  maxWaitMs: number;
  /** Called with how long a task waited when its turn comes. */
  onStart?: (waitedMs: number) => void;
  /** The module that the threads run. */
  worker?: string;
};

export function createHashLane({ workers, maxWaitMs, onStart, worker = WORKER }: HashLaneOptions): HashLane {
  const pool = new Piscina<HashTask, HashResult>({
    filename: worker,
    minThreads: 0,
    maxThreads: workers,
    concurrentTasksPerWorker: 1,
    idleTimeout: IDLE_MS,
    execArgv: [],
  });
  const waiting = new Set<Job>();
  const running = new Set<Job>();
  let waitingWork = 0;
  const measured = { ...FIRST_GUESS };

  const predictedWaitMs = () => {
    if (running.size < workers) return 0;
    const now = performance.now();
    const msPerRound = measured.ms / measured.rounds;
    let leftMs = waitingWork * msPerRound;
    for (const { work, startedAt } of running) leftMs += Math.max(0, work * msPerRound - (now - startedAt));
    return leftMs / workers;
  };

  const startNext = () => {
    const [job] = waiting;
    if (!job || running.size >= workers) return;
    leave(job);
    void start(job);
  };
  const leave = (job: Job) => {
    waiting.delete(job);
    waitingWork -= job.work;
    job.forget();
  };
  const start = async (job: Job) => {
    running.add(job);
    job.startedAt = performance.now();
    onStart?.(job.startedAt - job.queuedAt);
    try {
      const { value, tookMs } = await pool.run(job.task);
      const fading = 0.5 ** (job.work / HALF_LIFE_ROUNDS);
      measured.rounds = measured.rounds * fading + job.work;
      measured.ms = measured.ms * fading + tookMs;
      job.resolve(value);
    } catch (cause) {
      job.reject(new HashFailedError({ cause }));
    } finally {
      running.delete(job);
      startNext();
    }
  };

  const refusal = () => {
    const waitMs = predictedWaitMs();
    // Not all at the same moment.
    return waitMs > maxWaitMs ? Math.ceil(waitMs / 1000) + randomInt(MAX_JITTER_S) : undefined;
  };

  return {
    refusal,
    run(task, cost, caller) {
      return new Promise((resolve, reject) => {
        if (caller.aborted) return reject(new CallerGoneError());
        const retryAfterS = refusal();
        if (retryAfterS !== undefined) return reject(overloaded(retryAfterS));
        const onGone = () => {
          leave(job);
          reject(new CallerGoneError());
        };
        const forget = () => caller.removeEventListener('abort', onGone);
        const queuedAt = performance.now();
        const job: Job = { task, work: 2 ** cost, queuedAt, startedAt: 0, resolve, reject, forget };
        waiting.add(job);
        waitingWork += job.work;
        caller.addEventListener('abort', onGone);
        startNext();
      });
    },
    state: () => ({ waiting: waiting.size, running: running.size, predictedWaitMs: predictedWaitMs() }),
    close: () => pool.destroy(),
  };
}

function overloaded(retryAfterS: number): Error {
  return Object.assign(new OverloadedError(), { headers: { 'retry-after': String(retryAfterS) } });
}
