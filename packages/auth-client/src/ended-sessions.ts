import type { Revocation } from '@latchkey/user-schema';

/** Which sessions have ended, as far as access tokens of them may still live. */
export type EndedSessions = {
  has(sessionId: string): boolean;
  add(revocations: Revocation[]): void;
};

// Our clock may be set back after it was ahead: an entry must outlive every token that it ends.
const MARGIN_MS = 60_000;
const SWEEP_EVERY_MS = 60_000;

/** Remembers ended sessions for as long as one of their access tokens might be accepted. */
export function createEndedSessions(clockToleranceMs: number): EndedSessions {
  const expiries = new Map<string, number>();
  let sweptAt = performance.now();

  const isOver = (exp: number) => Date.now() > exp * 1000 + clockToleranceMs + MARGIN_MS;

  const sweep = () => {
    if (performance.now() - sweptAt < SWEEP_EVERY_MS) return;
    sweptAt = performance.now();
    for (const [sid, exp] of expiries) if (isOver(exp)) expiries.delete(sid);
  };

  return {
    has: sessionId => expiries.has(sessionId),
    add(revocations) {
      for (const { sid, exp } of revocations) {
        if (!isOver(exp)) expiries.set(sid, exp);
      }
      sweep();
    },
  };
}
