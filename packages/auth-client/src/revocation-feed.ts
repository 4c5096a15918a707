import { MAX_REVOCATIONS_WAIT_S, type Revocations } from '@latchkey/user-schema';
import { AuthProblemError, AuthTransportError } from './errors.js';
import { sleep } from './retry.js';

/** A feed of ended sessions that is being followed. */
export type RevocationFeed = {
  /** Waits for the first answer, but not longer than that may take from the beginning, nor after a refusal for good. */
  ready(): Promise<void>;
  /** Waits for the end of the first request, as long as `ready` does; rejects while requests are refused for good. */
  started(): Promise<void>;
  /** Whether nothing is known that is newer than the staleness that is allowed. */
  isStale(): boolean;
};

export type FeedOptions = {
  /** Asks for what is new since the cursor `after`, waiting for it up to `wait` seconds. */
  read: (from: { after?: string; wait: number }, signal: AbortSignal) => Promise<Revocations>;
  onAnswer: (answer: Revocations) => void;
  /** Whether a failure is one that asking again does not end. It is asked again all the same, since settings may change. */
  isForGood: (error: unknown) => boolean;
  /** Called with the first of failures that are alike: with a refusal at once, with an outage when it lasts. */
  onFailure: (error: unknown) => void;
  maxStalenessMs: number;
  /** How long the first answer may take, and an outage before it is told of: services start in any order. */
  patienceMs: number;
  /** Ends it. */
  signal: AbortSignal;
};

// Between answers that have something to say …
const PAUSE_MS = 50;
// … and after one that had nothing to say and did not wait either.
const IDLE_PAUSE_MS = 500;
const FIRST_BACKOFF_MS = 200;
const MAX_BACKOFF_MS = 5000;

/** Follows the feed until it is ended: one request at a time, each waiting at the service for what comes next. */
export function followRevocations(options: FeedOptions): RevocationFeed {
  const { onAnswer, onFailure, isForGood, maxStalenessMs, signal } = options;
  // A third of what is allowed, so that an answer that is lost does not make us stale at once.
  const waitS = Math.min(MAX_REVOCATIONS_WAIT_S, Math.floor(maxStalenessMs / 3000));
  const idlePauseMs = Math.min(IDLE_PAUSE_MS, maxStalenessMs / 4);
  let cursor: string | undefined;
  let freshAt = Number.NEGATIVE_INFINITY;
  let failures = 0;
  let failingSince = 0;
  let lastFailure: string | undefined;
  let refusal: unknown;
  let markReady: () => void = () => undefined;

  const isReady = new Promise<void>(resolve => {
    markReady = resolve;
  });
  const patience = setTimeout(markReady, options.patienceMs).unref();
  const stopWaiting = () => {
    clearTimeout(patience);
    markReady();
  };

  const readOnce = async (): Promise<number> => {
    const askedAt = performance.now();
    // The first request does not wait: it asks for everything that is in force.
    const from = cursor === undefined ? { wait: 0 } : { after: cursor, wait: waitS };
    const answer = await options.read(from, signal);
    const readAt = performance.now();
    const isNews = cursor === undefined || answer.revoked.length > 0;
    onAnswer(answer);
    // A service that is at fault may send the same page for ever.
    if (answer.cursor === cursor && (answer.more || isNews)) {
      throw new AuthTransportError('unexpected_answer', 'The feed of ended sessions does not advance its cursor.');
    }
    cursor = answer.cursor;
    failures = 0;
    lastFailure = undefined;
    refusal = undefined;
    // Only the last page makes the knowledge whole.
    if (answer.more && isNews) return 0;
    if (!answer.more) {
      freshAt = readAt;
      stopWaiting();
    }
    return isNews || readAt - askedAt >= idlePauseMs ? PAUSE_MS : idlePauseMs;
  };

  const afterFailure = (error: unknown): number => {
    // Perhaps it is the cursor that the service does not take, after a restore of its database: begin again.
    if (error instanceof AuthProblemError && error.code === 'invalid_request') cursor = undefined;
    if (failures === 0) failingSince = performance.now();
    refusal = isForGood(error) ? error : undefined;
    if (refusal) stopWaiting();
    const isRefusal = refusal || (error instanceof AuthProblemError && error.problem.status < 500);
    const { code } = error as { code?: string };
    if (code !== lastFailure && (isRefusal || performance.now() - failingSince >= options.patienceMs)) {
      lastFailure = code;
      onFailure(error);
    }
    const asked = (error instanceof AuthProblemError && error.retryAfterS) || 0;
    const backoff = FIRST_BACKOFF_MS * 2 ** failures++ * (0.5 + Math.random() / 2);
    return Math.min(MAX_BACKOFF_MS, asked * 1000 + backoff);
  };

  const follow = async (first: Promise<number>) => {
    for (let reading = first; ; reading = readOnce()) {
      const pause = await reading.catch(error => (signal.aborted ? 0 : afterFailure(error)));
      // A process that has nothing else to do may end meanwhile.
      await sleep(pause, signal, { unref: true });
      if (signal.aborted) break;
    }
    stopWaiting();
  };
  const first = readOnce();
  void follow(first);

  return {
    ready() {
      // Whoever waits keeps the process alive.
      patience.ref();
      return isReady;
    },
    async started() {
      patience.ref();
      await Promise.race([first.catch(() => undefined), isReady]);
      if (refusal !== undefined) throw refusal;
    },
    isStale: () => performance.now() - freshAt > maxStalenessMs,
  };
}
