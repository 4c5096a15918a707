import type { Revocation } from '@latchkey/user-schema';
import type { StoredRevocation } from '../data/revocations.js';
import { isVisible, type Snapshot } from './snapshot.js';

type Entry = Revocation & { xid: bigint; until: number };

/** The ended sessions that are told, in memory. */
export type RevocationLog = {
  has(sessionId: string): boolean;
  size(): number;
  add(revocations: StoredRevocation[]): void;
  /** What a snapshot does not see; everything when there is none. */
  since(snapshot: Snapshot | undefined): Revocation[];
  /** Forgets what is told no more. */
  prune(): void;
};

/** Keeps ended sessions in the order of the transactions that ended them, so that what is new is found without a search. */
export function createRevocationLog(): RevocationLog {
  const bySession = new Map<string, Entry>();
  let entries: Entry[] = [];

  /** The place of the first entry whose transaction is not before this one. */
  const placeOf = (xid: bigint) => {
    let [low, high] = [0, entries.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((entries[middle] as Entry).xid < xid) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  return {
    has: sessionId => bySession.has(sessionId),
    size: () => bySession.size,
    add(revocations) {
      for (const { sid, exp, xid: text, forMs } of revocations) {
        const known = bySession.get(sid);
        if (known) entries.splice(entries.indexOf(known), 1);
        const entry = { sid, exp, xid: BigInt(text), until: performance.now() + forMs };
        bySession.set(sid, entry);
        entries.splice(placeOf(entry.xid), 0, entry);
      }
    },
    since(snapshot) {
      const found = snapshot
        ? entries.slice(placeOf(snapshot.xmin)).filter(({ xid }) => !isVisible(xid, snapshot))
        : entries;
      return found.map(({ sid, exp }) => ({ sid, exp }));
    },
    prune() {
      const now = performance.now();
      if (!entries.some(({ until }) => until < now)) return;
      for (const { sid, until } of entries) if (until < now) bySession.delete(sid);
      entries = entries.filter(({ until }) => until >= now);
    },
  };
}
