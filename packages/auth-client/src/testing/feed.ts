import type { Revocation } from '@latchkey/user-schema';

/** The feed of ended sessions: a log, and whoever waits for its next line. */
export type TestFeed = {
  /** The cursor behind the last line. */
  cursor(): string;
  isCursor(text: string): boolean;
  /** What is behind a cursor, or all that is in force. */
  since(cursor: string | undefined): Revocation[];
  /** Adds a line: a session that has ended, or that the keys have changed. */
  append(line: Revocation | 'keys'): void;
  /** Waits for something to happen. */
  next(waitMs: number, signal: AbortSignal): Promise<void>;
};

export function createTestFeed(): TestFeed {
  const log: (Revocation | 'keys')[] = [];
  const waiting = new Set<() => void>();
  const sessions = (lines: typeof log) => lines.filter(line => line !== 'keys');

  return {
    cursor: () => `${log.length}`,
    isCursor: text => /^\d{1,9}$/.test(text) && Number(text) <= log.length,
    since: cursor =>
      cursor === undefined
        ? sessions(log).filter(({ exp }) => exp * 1000 > Date.now())
        : sessions(log.slice(Number(cursor))),
    append(line) {
      log.push(line);
      for (const answer of waiting) answer();
    },
    async next(waitMs, signal) {
      await new Promise<void>(resolve => {
        const done = () => {
          clearTimeout(timer);
          waiting.delete(done);
          signal.removeEventListener('abort', done);
          resolve();
        };
        const timer = setTimeout(done, waitMs);
        waiting.add(done);
        signal.addEventListener('abort', done);
      });
      signal.throwIfAborted();
    },
  };
}
