import { MAX_REVOCATIONS_WAIT_S, type Revocations } from '@latchkey/user-schema';
import { AuthProblemError, AuthTransportError } from '../errors.js';
import { sleep } from './sleep.js';

/** The feed of ended sessions, as it is being followed. */
export type RevocationFeed = {
  /** Resolves when the feed has been read to its end, when requests are refused for good, or after `patienceMs`. */
  ready(): Promise<void>;
  /** Resolves after the first request, or after `patienceMs`; rejects when requests are refused for good. */
  started(): Promise<void>;
  /** Whether the feed was last read to its end more than `maxStalenessMs` ago. */
  isStale(): boolean;
};

export type FeedOptions = {
  /** Reads the page behind the cursor `after`. When it is empty, the service waits up to `wait` seconds for an entry. */
  read: (from: { after?: string; wait: number }, signal: AbortSignal) => Promise<Revocations>;
  onPage: (page: Revocations) => void;
  /** Whether an error means that requests are refused until a setting changes. They are sent nevertheless, less often. */
  isForGood: (error: unknown) => boolean;
  /** Called with the first of consecutive errors of one code: at once with a refusal, after `patienceMs` with an outage. */
  onFailure: (error: unknown) => void;
  maxStalenessMs: number;
  /** How long to wait for the first pages, and before an outage is reported: services start in any order. */
  patienceMs: number;
  /** Stops following. */
  signal: AbortSignal;
};

// After a page with entries …
const PAUSE_MS = 50;
// … and after an empty page that the service sent without waiting.
const IDLE_PAUSE_MS = 500;
const FIRST_BACKOFF_MS = 200;
const MAX_BACKOFF_MS = 5000;

/** Follows the feed by long polling, one request at a time, until the signal aborts. */
export function followRevocations(options: FeedOptions): RevocationFeed {
  const { onPage, onFailure, isForGood, maxStalenessMs, signal } = options;
  // A third of the allowed staleness, so that one lost response does not exceed it.
  const waitS = Math.min(MAX_REVOCATIONS_WAIT_S, Math.floor(maxStalenessMs / 3000));
  const idlePauseMs = Math.min(IDLE_PAUSE_MS, maxStalenessMs / 4);
  let cursor: string | undefined;
  let freshAt = Number.NEGATIVE_INFINITY;
  let failures = 0;
  let failingSince = 0;
  let reportedCode: string | undefined;
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

  /** Reads a page and returns the pause after it, in milliseconds. */
  const readPage = async (): Promise<number> => {
    const requestedAt = performance.now();
    const from = cursor === undefined ? { wait: 0 } : { after: cursor, wait: waitS };
    const page = await options.read(from, signal);
    const readAt = performance.now();
    const hasNews = cursor === undefined || page.revoked.length > 0 || Boolean(page.packed);
    onPage(page);
    // A faulty service may send the same page for ever.
    if (page.cursor === cursor && (page.more || hasNews)) {
      throw new AuthTransportError('unexpected_answer', 'The feed of ended sessions does not advance its cursor.');
    }
    cursor = page.cursor;
    failures = 0;
    reportedCode = undefined;
    refusal = undefined;
    if (page.more && hasNews) return 0;
    if (!page.more) {
      freshAt = readAt;
      stopWaiting();
    }
    return hasNews || readAt - requestedAt >= idlePauseMs ? PAUSE_MS : idlePauseMs;
  };

  /** Reports a failure where it is due and returns the pause after it, in milliseconds. */
  const handleFailure = (error: unknown): number => {
    // The service may reject the cursor after a restore of its database: read the feed from its beginning.
    if (error instanceof AuthProblemError && error.code === 'invalid_request') cursor = undefined;
    if (failures === 0) failingSince = performance.now();
    refusal = isForGood(error) ? error : undefined;
    if (refusal) stopWaiting();
    const isRefusal = refusal || (error instanceof AuthProblemError && error.problem.status < 500);
    const { code } = error as { code?: string };
    if (code !== reportedCode && (isRefusal || performance.now() - failingSince >= options.patienceMs)) {
      reportedCode = code;
      onFailure(error);
    }
    const retryAfterS = (error instanceof AuthProblemError && error.retryAfterS) || 0;
    const backoff = FIRST_BACKOFF_MS * 2 ** failures++ * (0.5 + Math.random() / 2);
    return Math.min(MAX_BACKOFF_MS, retryAfterS * 1000 + backoff);
  };

  const follow = async (firstPage: Promise<number>) => {
    for (let reading = firstPage; ; reading = readPage()) {
      const pause = await reading.catch(error => (signal.aborted ? 0 : handleFailure(error)));
      // The pause does not keep the process alive.
      await sleep(pause, signal, { unref: true });
      if (signal.aborted) break;
    }
    stopWaiting();
  };
  const firstPage = readPage();
  void follow(firstPage);

  return {
    ready() {
      // Keeps the process alive for the caller, which awaits it.
      patience.ref();
      return isReady;
    },
    async started() {
      patience.ref();
      await Promise.race([firstPage.catch(() => undefined), isReady]);
      if (refusal !== undefined) throw refusal;
    },
    isStale: () => performance.now() - freshAt > maxStalenessMs,
  };
}
