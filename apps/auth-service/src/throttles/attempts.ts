import { createHmac } from 'node:crypto';
import type { Config } from '../config.js';
import { type CreateLimiter, createLimit, isRefusal, type Policy, type Refusal, type Spent } from './limit.js';
import { createRefusals } from './refusals.js';

/** How an attempt ended; `withdrawn` when nothing was tried after all. */
export type Outcome = 'failed' | 'succeeded' | 'withdrawn';

/** What the caller has left, and the blocks that begin. */
export type Settled = { left: number; blocks: Refusal[] };

/** An attempt that may go on. */
export type Attempt = {
  /** What the caller is told about; what others do is nobody's business. */
  shown: Spent;
  /** Must be called once. */
  settle(outcome: Outcome): Promise<Settled>;
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
export function createAttempts(throttle: Config['throttle'], hashKey: Buffer, createLimiter: CreateLimiter): Attempts {
  const { maxWaitS } = throttle;
  const address = createLimit({ name: 'address', ...throttle.address }, createLimiter);
  const pair = createLimit({ name: 'pair', ...throttle.pair, maxWaitS }, createLimiter);
  const account = createLimit({ name: 'account', ...throttle.account, maxWaitS }, createLimiter);
  const signUp = createLimit({ name: 'sign-up', ...throttle.signUp }, createLimiter);

  const familiarS = throttle.knownAddressDays * 86_400;
  const familiar = createLimiter('familiar', 1, familiarS);
  const strangers = createRefusals();

  const hash = (...parts: string[]) =>
    createHmac('sha256', hashKey).update(parts.join('\n')).digest('base64url').slice(0, 22);
  const keysOf = ({ username, address, sessionId }: Caller) => {
    const name = username.toLowerCase();
    return {
      address: hash(address),
      account: hash(name),
      // Whoever holds a session counts by that: it has no other addresses.
      pair: sessionId === undefined ? hash(name, address) : hash(name, 'session', sessionId),
    };
  };

  /** Whether what others have spent is of no concern to a caller, who then has only an allowance of their own. */
  const isExempt = async ({ sessionId }: Caller, pairKey: string, until: number) => {
    if (sessionId !== undefined) return true;
    if (strangers.find(pairKey) !== undefined) return false;
    const isFamiliar = (await familiar.get(pairKey)) !== null;
    if (isFamiliar) strangers.delete(pairKey);
    else strangers.add(pairKey, until);
    return isFamiliar;
  };

  return {
    policies: { guess: [pair.policy, account.policy, address.policy], signUp: [signUp.policy] },

    async guess(caller) {
      const keys = keysOf(caller);
      const isStranger = async (closed: Refusal) => !(await isExempt(caller, keys.pair, closed.until));
      const refused = pair.refusal(keys.pair);
      if (refused) return refused;
      const closedAddress = address.refusal(keys.address);
      const closedAccount = account.refusal(keys.account);
      const closed = closedAddress ?? closedAccount;
      if (closed && (await isStranger(closed))) return closed;

      const taken: Spent[] = [];
      const take = async (spending: Promise<Spent | Refusal>) => {
        const result = await spending;
        if (!isRefusal(result)) taken.push(result);
        return result;
      };
      /** What is refused, or cut short by a fault, is spent nowhere. */
      const undo = async () => void (await Promise.allSettled(taken.map(spent => spent.giveBack())));

      let ofPair: Spent | Refusal;
      let ofAddress: Spent | Refusal;
      let ofAccount: Spent | Refusal;
      try {
        const first = [take(pair.spend(keys.pair)), closedAddress ?? take(address.spend(keys.address))] as const;
        await Promise.allSettled(first);
        [ofPair, ofAddress] = await Promise.all(first);
        // The account comes last: what the other two refuse must not use up what its owner has.
        const isRefused =
          isRefusal(ofPair) || (!closedAddress && isRefusal(ofAddress) && (await isStranger(ofAddress)));
        const refusedBy = isRefusal(ofPair) ? ofPair : ofAddress;
        if (isRefused) {
          await undo();
          return refusedBy as Refusal;
        }
        ofAccount = closedAccount ?? (await take(account.spend(keys.account)));
        if (!closedAccount && isRefusal(ofAccount) && (await isStranger(ofAccount))) {
          await undo();
          return ofAccount;
        }
      } catch (error) {
        // Not waited for: the store is what does not answer.
        void undo();
        throw error;
      }
      const shown = ofPair as Spent;

      return {
        shown,
        async settle(outcome) {
          if (outcome === 'failed') return keep([shown, ofAddress, ofAccount]);
          const isRemembered = outcome === 'succeeded' && caller.sessionId === undefined;
          await Promise.all([
            outcome === 'succeeded' ? shown.reset() : shown.giveBack(),
            giveBack([ofAddress, ofAccount]),
            isRemembered && familiar.set(keys.pair, 1, familiarS),
          ]);
          return { left: outcome === 'succeeded' ? pair.policy.quota : shown.left + 1, blocks: [] };
        },
      };
    },

    async signUp(caller) {
      const keys = keysOf(caller);
      const spent = signUp.refusal(keys.address) ?? (await signUp.spend(keys.address));
      if (isRefusal(spent)) return spent;
      return {
        shown: spent,
        async settle(outcome) {
          if (outcome === 'withdrawn') {
            await spent.giveBack();
            return { left: spent.left + 1, blocks: [] };
          }
          if (outcome === 'succeeded') await familiar.set(keys.pair, 1, familiarS);
          return keep([spent]);
        },
      };
    },
  };
}

/** Answers what is left of the first. */
async function keep(taken: [Spent, ...(Spent | Refusal)[]]): Promise<Settled> {
  const kept = await Promise.all(taken.map(one => (isRefusal(one) ? undefined : one.keep())));
  const blocks = kept.flatMap(one => one?.block ?? []);
  return { left: Math.min(taken[0].left, kept[0]?.left ?? 0), blocks };
}

async function giveBack(taken: (Spent | Refusal)[]): Promise<void> {
  await Promise.all(taken.map(one => !isRefusal(one) && one.giveBack()));
}
