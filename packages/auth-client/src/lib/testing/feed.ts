import type { Revocation } from '@latchkey/user-schema';

/** The feed of ended sessions: a log, and the requests that wait for its next entry. */
export type TestFeed = {
  /** The cursor behind the last entry. */
  cursor(): string;
  isCursor(text: string): boolean;
  /** The ended sessions behind a cursor; without one, those whose tokens may still live. */
  since(cursor: string | undefined): Revocation[];
  /** Adds an entry: a session that has ended, or a change of the keys. */
  append(entry: Revocation | 'keys'): void;
  /** Resolves with the next entry, or after `waitMs`. */
  next(waitMs: number, signal: AbortSignal): Promise<void>;
};

export function createTestFeed(): TestFeed {
  const log: (Revocation | 'keys')[] = [];
  const waiting = new Set<() => void>();
  const sessions = (entries: typeof log) => entries.filter(entry => entry !== 'keys');

  return {
    cursor: () => `${log.length}`,
    isCursor: text => /^\d{1,9}$/.test(text) && Number(text) <= log.length,
    since: cursor =>
      cursor === undefined
        ? sessions(log).filter(({ exp }) => exp * 1000 > Date.now())
        : sessions(log.slice(Number(cursor))),
    append(entry) {
      log.push(entry);
      for (const resume of waiting) resume();
    },
    async next(waitMs, signal) {
      await new Promise<void>(resolve => {
        const resume = () => {
          clearTimeout(timer);
          waiting.delete(resume);
          signal.removeEventListener('abort', resume);
          resolve();
        };
        const timer = setTimeout(resume, waitMs);
        waiting.add(resume);
        signal.addEventListener('abort', resume);
      });
      signal.throwIfAborted();
    },
  };
}
