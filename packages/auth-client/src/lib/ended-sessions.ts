import type { Revocation } from '@latchkey/user-schema';

/** The ended sessions whose access tokens may still live. */
export type EndedSessions = {
  has(sessionId: string): boolean;
  add(revocations: Revocation[]): void;
};

// This machine's clock may be ahead and set back later: an entry must outlive every token of its session.
const MARGIN_MS = 60_000;
// Twice the size of a page of the feed, so that expired entries are removed faster than others are added.
const CHECKED_AT_ONCE = 10_000;

/** Keeps ended sessions as long as one of their access tokens might be accepted. */
export function createEndedSessions(clockToleranceMs: number): EndedSessions {
  const expiries = new Map<string, number>();
  let unchecked = expiries.entries();

  /** Removes expired entries, a part at a time: a million at once would block the process for hundreds of milliseconds. */
  const sweep = (expiredBefore: number) => {
    for (let i = 0; i < CHECKED_AT_ONCE; i++) {
      const { done, value } = unchecked.next();
      if (done) {
        unchecked = expiries.entries();
        return;
      }
      if (value[1] < expiredBefore) expiries.delete(value[0]);
    }
  };

  return {
    has: sessionId => expiries.has(sessionId),
    add(revocations) {
      const expiredBefore = (Date.now() - clockToleranceMs - MARGIN_MS) / 1000;
      for (const { sid, exp } of revocations) if (exp >= expiredBefore) expiries.set(sid, exp);
      sweep(expiredBefore);
    },
  };
}
