import type { RateLimiterAbstract } from 'rate-limiter-flexible';
import { createRefusals } from './refusals.js';

/** Makes counters that all replicas share. */
export type CreateLimiter = (name: string, points: number, durationS: number) => RateLimiterAbstract;

/** So many attempts within a window, which begins with the first of them. */
export type Policy = {
  name: 'account' | 'address' | 'pair' | 'sign-up';
  quota: number;
  windowS: number;
  /**
   * When given, failures also add up over windows, so that slow guesses gain nothing: as many as the quota close the key
   * for a wait that doubles each time, from the window up to this.
   */
  maxWaitS?: number;
};

/** A limit says no, until a time of `performance.now()`. */
export type Refusal = { policy: Policy; key: string; until: number };

/** One attempt of a quota, taken. */
export type Spent = {
  policy: Policy;
  /** What is left of the quota without this one. */
  left: number;
  /** When the window ends, a time of `performance.now()`. */
  resetsAt: number;
  /** The attempt counts. Answers how many are left, and the block that begins with it when it was the last. */
  keep(): Promise<{ left: number; block?: Refusal }>;
  /** The attempt does not count. */
  giveBack(): Promise<void>;
  /** Forgets this attempt and all others. */
  reset(): Promise<void>;
};

export type Limit = {
  policy: Policy;
  /** Whether a key is known to be refused, without asking the store. */
  refusal(key: string): Refusal | undefined;
  spend(key: string): Promise<Spent | Refusal>;
};

export const isRefusal = (result: Spent | Refusal): result is Refusal => 'until' in result;

// How long failures add up, where slow ones are to gain nothing.
const FAILURES_S = 30 * 86_400;
// Who is refused for the sake of attempts that are not settled yet may come back at once.
const UNSETTLED_MS = 1000;
// Far above any quota: attempts that are given back late must not open one that has to wait.
const CLOSED = 1_000_000_000;

export function createLimit(policy: Policy, createLimiter: CreateLimiter): Limit {
  const { name, quota, windowS, maxWaitS } = policy;
  const counter = createLimiter(name, quota, windowS);
  const failures = createLimiter(`${name}-failures`, quota, maxWaitS === undefined ? windowS : FAILURES_S);
  const refusals = createRefusals();

  const refuse = (key: string, until: number): Refusal => {
    refusals.add(key, until);
    return { policy, key, until };
  };

  /** Counts a failure, and closes the key when there have been as many as the quota, or twice as many, and so on. */
  const fail = async (key: string) => {
    const { consumedPoints: failed, msBeforeNext } = await failures.penalty(key);
    if (failed % quota !== 0) return { left: quota - (failed % quota) };
    const restS = Math.max(1, Math.ceil(msBeforeNext / 1000));
    const waitS = maxWaitS === undefined ? restS : Math.min(maxWaitS, windowS * 2 ** (failed / quota - 1));
    await counter.set(key, CLOSED, waitS);
    return { left: 0, block: refuse(key, performance.now() + waitS * 1000) };
  };

  return {
    policy,
    refusal(key) {
      const until = refusals.find(key);
      return until === undefined ? undefined : { policy, key, until };
    },
    async spend(key) {
      // The statement of consume(), which would reject with what is not an error.
      const { consumedPoints: count, msBeforeNext } = await counter.penalty(key);
      const resetsAt = performance.now() + msBeforeNext;
      if (count > quota) {
        // What is refused is not spent. A pair may have been reset meanwhile, and would owe it then.
        if (name !== 'pair') await counter.reward(key);
        if (count > CLOSED) return refuse(key, resetsAt);
        return { policy, key, until: performance.now() + UNSETTLED_MS };
      }
      refusals.delete(key);
      return {
        policy,
        left: quota - count,
        resetsAt,
        keep: () => fail(key),
        async giveBack() {
          // The next window does not owe it.
          if (performance.now() < resetsAt) await counter.reward(key);
        },
        async reset() {
          refusals.delete(key);
          await Promise.all([counter.delete(key), failures.delete(key)]);
        },
      };
    },
  };
}
