import { createSessionExpiries, type Revocation } from '@latchkey/user-schema';

/** The ended sessions whose access tokens may still live. */
export type EndedSessions = {
  has(sessionId: string): boolean;
  add(revocations: Revocation[]): void;
};

// This machine's clock may be ahead and set back later: an entry must outlive every token of its session.
const MARGIN_MS = 60_000;

/** Keeps ended sessions as long as one of their access tokens might be accepted. */
export function createEndedSessions(clockToleranceMs: number): EndedSessions {
  const expiries = createSessionExpiries();

  return {
    has: expiries.has,
    add(revocations) {
      const expiredBefore = (Date.now() - clockToleranceMs - MARGIN_MS) / 1000;
      for (const { sid, exp } of revocations) if (exp >= expiredBefore) expiries.set(sid, exp);
      expiries.sweep(expiredBefore);
    },
  };
}
