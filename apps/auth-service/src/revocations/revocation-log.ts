import type { Revocation } from '@latchkey/user-schema';
import { FIRST_PLACE, MARGIN_S, type Place, type PlacedRevocation } from './stored-revocations.js';

/** What a reader of the log is given. */
export type LogPage = { revocations: Revocation[]; next: Place; hasMore: boolean };

/** The ended sessions that are in force, in memory. */
export type RevocationLog = {
  has(sessionId: string): boolean;
  size(): number;
  /** Takes note of sessions that have ended and have no place in the feed yet. */
  add(revocations: Revocation[]): void;
  /** Adds what comes next in the feed; `next` is the place behind it. `now` is the database's time, in seconds since 1970. */
  append(revocations: PlacedRevocation[], next: Place, now: number): void;
  /** What is behind a place: `limit` sessions at most, and fewer also when there is more. */
  after(place: Place, limit: number): LogPage;
  /** The place behind the last one. */
  end(): Place;
  /**
   * Forgets all places, as those of another life of the database are good for nothing. That the sessions have ended
   * remains known.
   */
  restart(): void;
  /** After a restart: the sessions that are known to have ended and have not been appended since. */
  missing(): Revocation[];
  /** Ends the search for what is missing. */
  settle(): void;
  /** Forgets a share of what is in force no more; called again and again. */
  prune(): void;
};

// Sessions are forgotten by the page, so one is remembered at most for as long as the last of its page.
const PAGE_SIZE = 5000;
const PAGE_MS = 60_000;
// So that pruning never takes long.
const PRUNED_AT_ONCE = 4;

type Page = {
  revocations: PlacedRevocation[];
  /** When the last of them is in force no more, and when the page was begun: times of `performance.now()`. */
  until: number;
  begunAt: number;
};

/** Keeps ended sessions in the order of the feed, in pages, so that adding, finding and forgetting take no search. */
export function createRevocationLog(): RevocationLog {
  const expiries = new Map<string, number>();
  let pages: Page[] = [];
  let end = FIRST_PLACE;
  // How far the database's clock is ahead of `performance.now()`.
  let clockOffsetMs = Date.now() - performance.now();
  // What was known at the last restart and has not been appended since.
  let unseen: Set<string> | undefined;

  const untilOf = (exp: number) => (exp + MARGIN_S) * 1000 - clockOffsetMs;

  const pageFor = (now: number): Page => {
    const last = pages.at(-1);
    if (last && last.revocations.length < PAGE_SIZE && now - last.begunAt < PAGE_MS) return last;
    const page = { revocations: [], until: Number.NEGATIVE_INFINITY, begunAt: now };
    pages.push(page);
    return page;
  };

  return {
    has: sessionId => expiries.has(sessionId),
    size: () => expiries.size,
    add(revocations) {
      // Those whose tokens have expired get no place in the feed, by which they would be forgotten.
      const now = performance.now();
      for (const { sid, exp } of revocations) if (untilOf(exp) >= now) expiries.set(sid, exp);
    },
    append(revocations, next, now) {
      const at = performance.now();
      clockOffsetMs = now * 1000 - at;
      for (const revocation of revocations) {
        const page = pageFor(at);
        page.revocations.push(revocation);
        page.until = Math.max(page.until, untilOf(revocation.exp));
        expiries.set(revocation.sid, revocation.exp);
        unseen?.delete(revocation.sid);
      }
      end = next;
    },
    after(place, limit) {
      const first = pages.findIndex(({ revocations }) => isBehind(revocations.at(-1) as PlacedRevocation, place));
      const page = pages[first];
      if (!page) return { revocations: [], next: isBehind(place, end) ? place : end, hasMore: false };
      const from = indexBehind(page.revocations, place);
      const revocations = page.revocations.slice(from, from + limit);
      const hasMore = first < pages.length - 1 || from + limit < page.revocations.length;
      return { revocations, next: hasMore ? (revocations.at(-1) as PlacedRevocation) : end, hasMore };
    },
    end: () => end,
    restart() {
      pages = [];
      end = FIRST_PLACE;
      const now = performance.now();
      for (const [sid, exp] of expiries) if (untilOf(exp) < now) expiries.delete(sid);
      unseen = new Set(expiries.keys());
    },
    missing() {
      return [...(unseen ?? [])].map(sid => ({ sid, exp: expiries.get(sid) as number }));
    },
    settle() {
      unseen = undefined;
    },
    prune() {
      const now = performance.now();
      const over = pages.filter(({ until }) => until < now).slice(0, PRUNED_AT_ONCE);
      if (over.length === 0) return;
      pages = pages.filter(page => !over.includes(page));
      for (const { revocations } of over) for (const { sid } of revocations) expiries.delete(sid);
    },
  };
}

/** Whether a place is behind another one. */
export function isBehind(place: Place, other: Place): boolean {
  return place.position > other.position || (place.position === other.position && place.sid > other.sid);
}

/** The index of the first that is behind a place. */
function indexBehind(revocations: PlacedRevocation[], place: Place): number {
  let [low, high] = [0, revocations.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBehind(revocations[middle] as PlacedRevocation, place)) high = middle;
    else low = middle + 1;
  }
  return low;
}
