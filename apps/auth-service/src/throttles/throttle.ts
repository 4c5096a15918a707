import {
  type Caller,
  type Counter,
  counterOf,
  createRefusals,
  type Limit,
  type Policy,
  type Refusal,
} from './limit.js';
import type { Settlements } from './settlements.js';
import type { Count, Settlement, ThrottleStore } from './store.js';

/** How an attempt ended; `withdrawn` when nothing was tried. */
export type Outcome = 'failed' | 'succeeded' | 'withdrawn';

/** What is left of the first limit, which is the caller's own. */
export type Allowance = { policy: Policy; left: number; resetsS: number };

/** An attempt that may go on. An attempt that is never settled stops counting when its lease ends. */
export type TakenAttempt = {
  /**
   * To be called once. Rejects when the store cannot count the outcome now; it is then tried again later.
   *
   * @param onBlock called for each block that begins with the outcome, now or later
   */
  settle(outcome: Outcome, onBlock: (block: Refusal) => void): Promise<Allowance | undefined>;
};

/** Takes attempts of one kind. */
export type Throttle = {
  policies: Policy[];
  /** Takes an attempt of every limit, or of none. */
  take(caller: Caller): Promise<TakenAttempt | Refusal>;
};

/**
 * Makes a throttle of limits.
 *
 * @param limits - in the order in which the store locks their counters; the first is the caller's own
 */
export function createThrottle(
  limits: [Limit, ...Limit[]],
  leaseS: number,
  store: Pick<ThrottleStore, 'spend'>,
  settlements: Pick<Settlements, 'settle'>,
): Throttle {
  /** Callers, by their own key, that were refused by a limit that exempts known ones. */
  const strangers = createRefusals();

  return {
    policies: limits.map(({ policy }) => policy),
    async take(caller) {
      const counters = limits.map(limit => counterOf(limit, caller));
      const own = counters[0] as Counter;
      const hasSession = caller.sessionId !== undefined;
      for (const { limit, key } of counters) {
        const until = limit.refusals.find(key);
        const mayPass = limit.exemptsKnown && (hasSession || strangers.find(own.key) === undefined);
        if (until !== undefined && !mayPass) return { policy: limit.policy, key, until };
      }

      const claims = counters.map(({ claim: { key, quota } }) => ({ key, quota }));
      const spent = await store.spend(claims, leaseS, hasSession);
      if ('refusedBy' in spent) {
        const refusing = counters.find(({ claim }) => claim.key === spent.refusedBy) as Counter;
        const refusal = spent.isClosed ? block(refusing, spent.refusedS) : refuse(refusing, spent.refusedS);
        if (refusing !== own) strangers.add(own.key, refusal.until);
        return refusal;
      }
      strangers.delete(own.key);
      const taken = counters.filter(({ claim }) => spent.taken.includes(claim.key));
      for (const { limit, key } of taken) limit.refusals.delete(key);

      return {
        async settle(outcome, onBlock) {
          let allowance: Allowance | undefined;
          const onSettled = (counts: Count[]) => {
            for (const counter of taken) {
              const { limit, key, claim } = counter;
              const count = counts.find(count => count.key === claim.key) as Count;
              if (count.blockS !== null) onBlock(block(counter, count.blockS));
              else if (count.left > 0) limit.refusals.delete(key);
              if (counter === own) allowance = allowanceOf(limit.policy, count);
            }
          };
          const settled = taken.flatMap(counter => settlementsOf(outcome, counter, caller));
          const others =
            outcome === 'succeeded' ? taken.flatMap(({ limit }) => limit.alsoForgives?.(caller) ?? []) : [];
          const forgiven = { lease: undefined, settlements: others, onSettled: () => undefined };
          await Promise.all([
            settlements.settle({ lease: spent.lease, settlements: settled, onSettled }),
            others.length > 0 && settlements.settle(forgiven),
          ]);
          return allowance;
        },
      };
    },
  };
}

function settlementsOf(outcome: Outcome, { limit, claim }: Counter, caller: Caller): Settlement[] {
  if (outcome === 'failed') return [{ ...claim, failed: true }];
  return (outcome === 'succeeded' && limit.onSuccess?.(claim, caller)) || [claim];
}

function refuse({ limit: { policy }, key }: Counter, waitS: number): Refusal {
  return { policy, key, until: performance.now() + waitS * 1000 };
}

/** Refuses, and remembers it. */
function block(counter: Counter, waitS: number): Refusal {
  const refusal = refuse(counter, waitS);
  counter.limit.refusals.add(counter.key, refusal.until);
  return refusal;
}

function allowanceOf(policy: Policy, { left, resetsS, blockS }: Count): Allowance {
  // Failures that add up over windows are not forgotten at the end of the window: `left` is for its length.
  const restS = policy.maxWaitS === undefined ? (resetsS ?? policy.windowS) : policy.windowS;
  return { policy, left, resetsS: blockS ?? restS };
}
