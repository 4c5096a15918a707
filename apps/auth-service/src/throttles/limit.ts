import type { LimitName } from '../http/metrics/definitions.js';
import type { Settlement } from './store.js';

/** As many failures as the quota within a window, which begins with the first of them. */
export type Policy = {
  name: LimitName;
  quota: number;
  windowS: number;
  /**
   * When given, failures also add up over windows, so that slow guesses gain nothing: each time they reach a multiple of the
   * quota, the key is blocked, for the window at first, then for twice as long each time, up to this.
   */
  maxWaitS?: number;
};

/** Who makes an attempt. */
export type Caller = {
  username: string;
  /** See `foldAddress`. */
  address: string;
  /** The session of the account that the caller has proved to hold. */
  sessionId?: string;
  /** The challenge of the sign-in that a second factor is to complete. */
  challengeId?: string;
};

/** What is counted, for which keys, and which of them are refused. */
export type Limit = {
  policy: Policy;
  /** The key for which the attempts of a caller count. */
  keyOf(caller: Caller): string;
  /** Whether the limit exempts callers that the account knows: by a session, or by a sign-in from their address. */
  exemptsKnown?: boolean;
  /** What a success changes besides the end of the attempt. */
  onSuccess?(claim: Settlement, caller: Caller): Settlement[];
  /** What a success changes in counters of other limits, of which no attempt was taken. */
  alsoForgives?(caller: Caller): Settlement[];
  /** The keys that are blocked. */
  refusals: Refusals;
};

/** What a limit counts for one key. */
export type Counter = {
  limit: Limit;
  key: string;
  /** The counter as the store knows it; its key there begins with the name of the limit. */
  claim: Settlement;
};

/** A limit refuses a key, until a time of `performance.now()`. */
export type Refusal = { policy: Policy; key: string; until: number };

/** Remembers the keys that are refused, so that refusing them again needs no request to the store. */
export type Refusals = {
  /** Until when a key is refused, in milliseconds of `performance.now()`; `undefined` when the store must be asked. */
  find(key: string): number | undefined;
  add(key: string, until: number): void;
  delete(key: string): void;
};

// How long failures add up that are counted over windows.
const FAILURES_S = 30 * 86_400;
// The service notices within this time that another replica has unblocked a key, at the cost of one request to the store.
const ASK_AGAIN_MS = 5000;
// The oldest are forgotten first; forgetting one costs a request to the store.
const MAX_KEYS = 10_000;

export function counterOf(limit: Limit, caller: Caller): Counter {
  const { name, quota, windowS, maxWaitS } = limit.policy;
  const key = limit.keyOf(caller);
  const memory = maxWaitS === undefined ? windowS : FAILURES_S;
  return { limit, key, claim: { key: `${name}:${key}`, quota, memory, wait: windowS, longest: maxWaitS } };
}

export function createRefusals(): Refusals {
  const refused = new Map<string, { until: number; askAgainAt: number }>();

  return {
    find(key) {
      const refusal = refused.get(key);
      if (refusal === undefined) return undefined;
      const now = performance.now();
      if (now < refusal.until && now < refusal.askAgainAt) return refusal.until;
      // One request asks the store; the others are refused meanwhile.
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

/** `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-09: how much is allowed in how many seconds. */
export function rateLimitPolicy(policies: Policy[]): string {
  return policies.map(({ name, quota, windowS }) => `"${name}";q=${quota};w=${windowS}`).join(', ');
}

/** `RateLimit` of the same draft: how much is left, and for how many seconds. */
export function rateLimit({ name, quota }: Policy, left: number, seconds: number): string {
  return `"${name}";r=${left}${left < quota ? `;t=${wholeSeconds(seconds)}` : ''}`;
}

/** Seconds until a time of `performance.now()`. */
export function secondsUntil(time: number): number {
  return wholeSeconds((time - performance.now()) / 1000);
}

/** Rounds up: a caller that comes back too early is refused again. */
function wholeSeconds(seconds: number): number {
  return Math.max(1, Math.ceil(seconds));
}
