import { createHmac } from 'node:crypto';
import type { Config } from '../config/settings.js';
import { createLimit, type Keyed, type Policy, type Refusal } from './limit.js';
import { createRefusals } from './refusals.js';
import type { Settlements } from './settlements.js';
import type { Count, Settlement, ThrottleStore } from './store.js';

/** How an attempt ended; `withdrawn` when nothing was tried after all. */
export type Outcome = 'failed' | 'succeeded' | 'withdrawn';

/** What the caller is told about: what others do is nobody's business. */
export type Allowance = { policy: Policy; left: number; resetsS: number };

/** An attempt that may go on. When it is never settled, it stops counting by itself, some seconds later. */
export type Attempt = {
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

export type Attempts = {
  policies: Record<'guess' | 'signUp', Policy[]>;
  /** Takes an attempt to guess a password of every limit, or of none. */
  guess(caller: Caller): Promise<Attempt | Refusal>;
  signUp(caller: Caller): Promise<Attempt | Refusal>;
};

/**
 * Spends attempts before passwords are hashed, so that guesses made in parallel cannot overrun a limit.
 *
 * @param hashKey keys in the store are MACs by it: people type passwords as usernames
 */
export function createAttempts(
  throttle: Config['throttle'],
  hashKey: Buffer,
  store: Pick<ThrottleStore, 'spend'>,
  settlements: Pick<Settlements, 'settle'>,
): Attempts {
  const { maxWaitS, leaseS } = throttle;
  const policies = {
    pair: { name: 'pair', ...throttle.pair, maxWaitS },
    account: { name: 'account', ...throttle.account, maxWaitS },
    address: { name: 'address', ...throttle.address },
    signUp: { name: 'sign-up', ...throttle.signUp },
  } satisfies Record<string, Policy>;
  const limits = {
    pair: createLimit(policies.pair),
    account: createLimit(policies.account),
    address: createLimit(policies.address),
    signUp: createLimit(policies.signUp),
  };
  const known = throttle.knownAddressDays * 86_400;
  /** Pairs whose account does not know the address. */
  const strangers = createRefusals();

  const hash = (...parts: string[]) =>
    createHmac('sha256', hashKey).update(parts.join('\n')).digest('base64url').slice(0, 22);
  const pairOf = ({ username, address, sessionId }: Caller) => {
    const name = username.toLowerCase();
    // A caller with a session counts by that session, from whatever address.
    return limits.pair(sessionId === undefined ? hash(name, address) : hash(name, 'session', sessionId));
  };

  /** Takes an attempt of each key, in the order in which the store is to lock them. The first is the caller's own. */
  const spend = async (
    keys: [Keyed, ...Keyed[]],
    isExempt: boolean,
    settlementsOf: (outcome: Outcome, taken: Keyed[]) => Settlement[],
  ): Promise<Attempt | Refusal> => {
    const claims = keys.map(({ claim: { key, quota } }) => ({ key, quota }));
    const answer = await store.spend(claims, leaseS, isExempt);
    if ('refusedBy' in answer) {
      const refusing = keys.find(({ claim }) => claim.key === answer.refusedBy) as Keyed;
      return answer.isClosed ? refusing.close(answer.refusedS) : refusing.refuse(answer.refusedS);
    }
    const { lease } = answer;
    const taken = keys.filter(({ claim }) => answer.taken.includes(claim.key));
    for (const key of taken) key.open();

    return {
      async settle(outcome, onBlock) {
        let allowance: Allowance | undefined;
        const onSettled = (counts: Count[]) => {
          for (const key of taken) {
            const count = counts.find(count => count.key === key.claim.key) as Count;
            if (count.blockS !== null) onBlock(key.close(count.blockS));
            else if (count.left > 0) key.open();
            if (key === keys[0]) allowance = allowanceOf(key.policy, count);
          }
        };
        await settlements.settle({ lease, settlements: settlementsOf(outcome, taken), onSettled });
        return allowance;
      },
    };
  };

  return {
    policies: {
      guess: [policies.pair, policies.account, policies.address],
      signUp: [policies.signUp],
    },

    async guess(caller) {
      const pair = pairOf(caller);
      const address = limits.address(hash(caller.address));
      const account = limits.account(hash(caller.username.toLowerCase()));
      const refused = pair.refusal();
      if (refused) return refused;
      const isExempt = caller.sessionId !== undefined;
      const closed = address.refusal() ?? account.refusal();
      if (closed && !isExempt && strangers.find(pair.key) !== undefined) return closed;

      // The account comes last: its owner's callers do not wait for those of others who share an address.
      const result = await spend([pair, address, account], isExempt, (outcome, taken) =>
        taken.map(({ claim }) => {
          if (outcome === 'failed') return { ...claim, failed: true };
          if (outcome === 'withdrawn' || claim !== pair.claim) return claim;
          return { ...claim, forgiven: true, ...(!isExempt && { known }) };
        }),
      );
      if ('until' in result && result.policy !== pair.policy) strangers.add(pair.key, result.until);
      else strangers.delete(pair.key);
      return result;
    },

    async signUp(caller) {
      const address = limits.signUp(hash(caller.address));
      const pair = pairOf(caller);
      return (
        address.refusal() ??
        spend([address], false, outcome => {
          if (outcome === 'withdrawn') return [address.claim];
          const counted = { ...address.claim, failed: true };
          return outcome === 'succeeded' ? [counted, { ...pair.claim, known }] : [counted];
        })
      );
    },
  };
}

function allowanceOf(policy: Policy, { left, resetsS, blockS }: Count): Allowance {
  // Failures that add up over windows are not forgotten with the window: so many are left for its length.
  const restS = policy.maxWaitS === undefined ? (resetsS ?? policy.windowS) : policy.windowS;
  return { policy, left, resetsS: blockS ?? restS };
}
