import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyBaseLogger } from 'fastify';
import type { Count, Settlement, ThrottleStore } from './store.js';

/** The outcome of an attempt, or what else the store is to count; `onSettled` is called once it has. */
export type Unsettled = { lease: string | undefined; settlements: Settlement[]; onSettled(counts: Count[]): void };

/** Settles attempts; while the store is unavailable, keeps them and tries again. */
export type Settlements = {
  /** Rejects when the store cannot count the outcome now; it is then tried again later. */
  settle(unsettled: Unsettled): Promise<void>;
  /** How many are kept for later. */
  size(): number;
  /** Tries once more to settle what is kept. */
  close(): Promise<void>;
};

const MAX_KEPT = 1000;
const KEPT_FOR_MS = 60_000;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5000;
// A service that closes does not wait longer for an unavailable store.
const CLOSE_WITHIN_MS = 2000;

export function createSettlements(
  store: Pick<ThrottleStore, 'settle'>,
  log: Pick<FastifyBaseLogger, 'warn'>,
): Settlements {
  /** With the time at which each is given up. */
  const kept = new Map<Unsettled, number>();
  const underWay = new Set<Promise<void>>();
  let waitMs = FIRST_WAIT_MS;
  let timer: NodeJS.Timeout | undefined;
  let dropped = 0;

  const send = async ({ lease, settlements, onSettled }: Unsettled) =>
    onSettled(await store.settle(lease, settlements));

  const drop = (unsettled: Unsettled) => {
    if (kept.delete(unsettled)) dropped++;
  };
  const keep = (unsettled: Unsettled, until: number) => {
    kept.set(unsettled, until);
    if (kept.size > MAX_KEPT) drop(kept.keys().next().value as Unsettled);
  };
  /** Sends what is kept, one after the other, until one of them fails; that one comes last the next time. */
  const flush = async () => {
    for (const [unsettled, until] of kept) {
      if (performance.now() > until) {
        drop(unsettled);
        continue;
      }
      try {
        await send(unsettled);
        kept.delete(unsettled);
      } catch {
        if (kept.delete(unsettled)) keep(unsettled, until);
        return false;
      }
    }
    return true;
  };
  const retryLater = () => {
    timer ??= setTimeout(async () => {
      waitMs = (await flush()) ? FIRST_WAIT_MS : Math.min(2 * waitMs, LONGEST_WAIT_MS);
      if (dropped > 0) log.warn({ dropped }, 'gave up settling attempts with the throttles');
      dropped = 0;
      timer = undefined;
      if (kept.size > 0) retryLater();
    }, waitMs).unref();
  };

  return {
    async settle(unsettled) {
      const sending = send(unsettled);
      underWay.add(sending);
      try {
        await sending;
      } catch (error) {
        keep(unsettled, performance.now() + KEPT_FOR_MS);
        retryLater();
        throw error;
      } finally {
        underWay.delete(sending);
      }
    },
    size: () => kept.size,
    async close() {
      const finish = async () => {
        await Promise.allSettled(underWay);
        clearTimeout(timer);
        await flush();
      };
      await Promise.race([finish(), sleep(CLOSE_WITHIN_MS, undefined, { ref: false })]);
      clearTimeout(timer);
    },
  };
}
