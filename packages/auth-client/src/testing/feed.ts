import type { Revocation } from '@latchkey/user-schema';

/** The feed of ended sessions: a log, and whoever waits for its next line. */
export type TestFeed = {
  /** The cursor behind the last line. */
  cursor(): string;
  isCursor(text: string): boolean;
  /** What is behind a cursor, or all that is in force. */
  since(cursor: string | undefined): Revocation[];
  append(revocation: Revocation): void;
  /** Has everybody who waits answered, also without a new line. */
  wake(): void;
  /** Waits for something to happen. */
  next(waitMs: number, signal: AbortSignal): Promise<void>;
};

export function createTestFeed(): TestFeed {
  const log: Revocation[] = [];
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const answer of waiting) answer();
  };

  return {
    cursor: () => `${log.length}`,
    isCursor: text => /^\d{1,9}$/.test(text) && Number(text) <= log.length,
    since: cursor =>
      cursor === undefined ? log.filter(({ exp }) => exp * 1000 > Date.now()) : log.slice(Number(cursor)),
    append(revocation) {
      log.push(revocation);
      wake();
    },
    wake,
    async next(waitMs, signal) {
      await new Promise<void>(resolve => {
        const done = () => {
          clearTimeout(timer);
          waiting.delete(done);
          signal.removeEventListener('abort', done);
          resolve();
        };
        // A test run must not stay for whoever still waits.
        const timer = setTimeout(done, waitMs).unref();
        waiting.add(done);
        signal.addEventListener('abort', done);
      });
      signal.throwIfAborted();
    },
  };
}
