/** Remembers who is refused, so that refusing them again costs nothing. */
export type Refusals = {
  /** Until when a key is refused, in milliseconds of `performance.now()`; `undefined` when the store must be asked. */
  find(key: string): number | undefined;
  add(key: string, until: number): void;
  delete(key: string): void;
};

// What another replica gives back is noticed within this time, at the cost of one question to the store.
const ASK_AGAIN_MS = 5000;
// The oldest are forgotten first; forgetting one costs a question to the store.
const MAX_KEYS = 10_000;

export function createRefusals(): Refusals {
  const refused = new Map<string, { until: number; askAgainAt: number }>();

  return {
    find(key) {
      const refusal = refused.get(key);
      if (refusal === undefined) return undefined;
      const now = performance.now();
      if (now < refusal.until && now < refusal.askAgainAt) return refusal.until;
      // One asks; meanwhile the others go on being refused.
      refusal.askAgainAt = now + ASK_AGAIN_MS;
      if (now >= refusal.until) refused.delete(key);
      return undefined;
    },
    add(key, until) {
      refused.delete(key);
      refused.set(key, { until, askAgainAt: performance.now() + ASK_AGAIN_MS });
      if (refused.size <= MAX_KEYS) return;
      const [oldest] = refused.keys();
      refused.delete(oldest as string);
    },
    delete(key) {
      refused.delete(key);
    },
  };
}
