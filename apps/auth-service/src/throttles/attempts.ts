import { createHmac } from 'node:crypto';
import type { ThrottleSettings } from '../config/sections/throttles.js';
import { createLimit, type Keyed, type Policy, type Refusal } from './limit.js';
import { createRefusals } from './refusals.js';
import type { Settlements } from './settlements.js';
import type { Count, Settlement, ThrottleStore } from './store.js';

/** How an attempt ended; `withdrawn` when nothing was tried after all. */
export type Outcome = 'failed' | 'succeeded' | 'withdrawn';

/** What the caller is told: what is left of the first limit, which is the caller's own. */
export type Allowance = { policy: Policy; left: number; resetsS: number };

/** An attempt that may go on. When it is never settled, it stops counting by itself, some seconds later. */
export type TakenAttempt = {
  /**
   * To be called once. Rejects when the store cannot count it now; it is then tried again later.
   *
   * @param onBlock called for each block that begins with it, now or later
   */
  settle(outcome: Outcome, onBlock: (block: Refusal) => void): Promise<Allowance | undefined>;
};

export type Caller = {
  username: string;
  /** See `foldAddress`. */
  address: string;
  /** Where the caller has proved to hold a session of the account, that session. */
  sessionId?: string;
};

/** A limit of a kind of attempt. */
type Rule = {
  policy: Policy;
  keyOf(caller: Caller): Keyed;
  /** Whether it lets callers pass whom the account knows: by a session, or by a sign-in from that address. */
  exemptsKnown?: boolean;
  /** What a success changes; nothing but the end of the attempt when not given. */
  onSuccess?(claim: Settlement, caller: Caller): Settlement[];
};

/** Takes attempts of one kind. */
export type Throttle = {
  policies: Policy[];
  /** Takes an attempt of every limit, or of none. */
  take(caller: Caller): Promise<TakenAttempt | Refusal>;
};

/**
 * Takes attempts before passwords are hashed, so that guesses made in parallel cannot overrun a limit: guesses at a password,
 * and sign-ups.
 *
 * @param hashKey keys in the store are MACs by it: people type passwords as usernames
 */
export function createThrottles(
  settings: ThrottleSettings['throttle'],
  hashKey: Buffer,
  store: Pick<ThrottleStore, 'spend'>,
  settlements: Pick<Settlements, 'settle'>,
): Record<'guess' | 'signUp', Throttle> {
  const { maxWaitS, leaseS } = settings;
  const known = settings.knownAddressDays * 86_400;
  const hash = (...parts: string[]) =>
    createHmac('sha256', hashKey).update(parts.join('\n')).digest('base64url').slice(0, 22);

  const rule = (policy: Policy, partsOf: (caller: Caller) => string[], more: Omit<Rule, 'policy' | 'keyOf'>): Rule => {
    const limit = createLimit(policy);
    return { policy, keyOf: caller => limit(hash(...partsOf(caller))), ...more };
  };
  const nameOf = ({ username }: Caller) => username.toLowerCase();
  const pair = rule(
    { name: 'pair', ...settings.pair, maxWaitS },
    // A caller with a session counts by that session, from whatever address.
    caller =>
      caller.sessionId === undefined ? [nameOf(caller), caller.address] : [nameOf(caller), 'session', caller.sessionId],
    {
      onSuccess: (claim, { sessionId }) => [{ ...claim, forgiven: true, ...(sessionId === undefined && { known }) }],
    },
  );
  const address = rule({ name: 'address', ...settings.address }, caller => [caller.address], { exemptsKnown: true });
  const account = rule({ name: 'account', ...settings.account, maxWaitS }, caller => [nameOf(caller)], {
    exemptsKnown: true,
  });
  const signUp = rule({ name: 'sign-up', ...settings.signUp }, caller => [caller.address], {
    onSuccess: (claim, caller) => [
      { ...claim, failed: true },
      { ...pair.keyOf(caller).claim, known },
    ],
  });
  return {
    // The account comes last: its owner's callers do not wait for those of others who share an address.
    guess: createThrottle([pair, address, account], leaseS, store, settlements),
    signUp: createThrottle([signUp], leaseS, store, settlements),
  };
}

/** @param rules in the order in which the store is to lock them; the first is the caller's own */
function createThrottle(
  rules: [Rule, ...Rule[]],
  leaseS: number,
  store: Pick<ThrottleStore, 'spend'>,
  settlements: Pick<Settlements, 'settle'>,
): Throttle {
  /** Callers, by their own key, who were refused by a limit that exempts known ones. */
  const strangers = createRefusals();

  return {
    policies: rules.map(({ policy }) => policy),
    async take(caller) {
      const keys = rules.map(({ keyOf }) => keyOf(caller));
      const own = keys[0] as Keyed;
      const hasSession = caller.sessionId !== undefined;
      for (const [index, key] of keys.entries()) {
        const refusal = key.refusal();
        const mayPass = rules[index]?.exemptsKnown && (hasSession || strangers.find(own.key) === undefined);
        if (refusal && !mayPass) return refusal;
      }

      const claims = keys.map(({ claim: { key, quota } }) => ({ key, quota }));
      const spent = await store.spend(claims, leaseS, hasSession);
      if ('refusedBy' in spent) {
        const refusing = keys.find(({ claim }) => claim.key === spent.refusedBy) as Keyed;
        const refusal = spent.isClosed ? refusing.close(spent.refusedS) : refusing.refuse(spent.refusedS);
        if (refusing !== own) strangers.add(own.key, refusal.until);
        return refusal;
      }
      strangers.delete(own.key);
      const taken = keys.filter(({ claim }) => spent.taken.includes(claim.key));
      for (const key of taken) key.open();

      const settlementsOf = (outcome: Outcome): Settlement[] =>
        keys.flatMap((key, index) => {
          if (!taken.includes(key)) return [];
          if (outcome === 'failed') return [{ ...key.claim, failed: true }];
          return (outcome === 'succeeded' && rules[index]?.onSuccess?.(key.claim, caller)) || [key.claim];
        });
      return {
        async settle(outcome, onBlock) {
          let allowance: Allowance | undefined;
          const onSettled = (counts: Count[]) => {
            for (const key of taken) {
              const count = counts.find(count => count.key === key.claim.key) as Count;
              if (count.blockS !== null) onBlock(key.close(count.blockS));
              else if (count.left > 0) key.open();
              if (key === own) allowance = allowanceOf(key.policy, count);
            }
          };
          await settlements.settle({ lease: spent.lease, settlements: settlementsOf(outcome), onSettled });
          return allowance;
        },
      };
    },
  };
}

function allowanceOf(policy: Policy, { left, resetsS, blockS }: Count): Allowance {
  // Failures that add up over windows are not forgotten with the window: so many are left for its length.
  const restS = policy.maxWaitS === undefined ? (resetsS ?? policy.windowS) : policy.windowS;
  return { policy, left, resetsS: blockS ?? restS };
}
