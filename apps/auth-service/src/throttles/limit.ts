import { createRefusals } from './refusals.js';
import type { Settlement } from './store.js';

/** So many failures within a window, which begins with the first of them. */
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

/** A key of a limit. */
export type Keyed = {
  policy: Policy;
  key: string;
  /** What a store needs to know of it; its key there is the key with the name of the limit. */
  claim: Settlement;
  /** Whether it is known to be closed, without asking the store. */
  refusal(): Refusal | undefined;
  refuse(waitS: number): Refusal;
  /** Remembers a refusal, so that the next one costs nothing. */
  close(waitS: number): Refusal;
  open(): void;
};

// How long failures add up, where slow ones are to gain nothing.
const FAILURES_S = 30 * 86_400;

/** Returns what makes a key one of the limit. */
export function createLimit(policy: Policy): (key: string) => Keyed {
  const { name, quota, windowS, maxWaitS } = policy;
  const memory = maxWaitS === undefined ? windowS : FAILURES_S;
  const refusals = createRefusals();

  return key => {
    const refuse = (waitS: number) => ({ policy, key, until: performance.now() + waitS * 1000 });
    return {
      policy,
      key,
      claim: { key: `${name}:${key}`, quota, memory, wait: windowS, longest: maxWaitS },
      refusal() {
        const until = refusals.find(key);
        return until === undefined ? undefined : { policy, key, until };
      },
      refuse,
      close(waitS) {
        const refusal = refuse(waitS);
        refusals.add(key, refusal.until);
        return refusal;
      },
      open: () => refusals.delete(key),
    };
  };
}
