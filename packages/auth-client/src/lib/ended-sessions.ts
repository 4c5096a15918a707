import { createSessionExpiries, type Revocation } from '@latchkey/user-schema';

/** The ended sessions whose access tokens may still live. */
export type EndedSessions = {
  has(sessionId: string): boolean;
  add(revocations: Revocation[]): void;
  /** Adds sessions as the feed packs them. */
  addPacked(packed: Uint8Array): void;
};

// This machine's clock may be ahead and set back later: an entry must outlive every token of its session.
const MARGIN_MS = 60_000;

/** Keeps ended sessions as long as one of their access tokens might be accepted. */
export function createEndedSessions(clockToleranceMs: number): EndedSessions {
  const expiries = createSessionExpiries();
  const expiredBefore = () => (Date.now() - clockToleranceMs - MARGIN_MS) / 1000;

  return {
    has: expiries.has,
    add(revocations) {
      const earliest = expiredBefore();
      for (const { sid, exp } of revocations) if (exp >= earliest) expiries.set(sid, exp);
      expiries.sweep(earliest);
    },
    addPacked(packed) {
      expiries.addPacked(packed);
      expiries.sweep(expiredBefore());
    },
  };
}
