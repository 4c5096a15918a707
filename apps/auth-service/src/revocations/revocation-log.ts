import type { Revocation } from '@latchkey/user-schema';
import { countEntries, ENTRY_LENGTH, forEachEntry } from './entries.js';
import { MARGIN_S, PAGE_SIZE, type StoredPage } from './stored-pages.js';

/** What a reader of the log is given: entries with commas between them, and how far they go. */
export type LogPage = { entries: string; end: number; hasMore: boolean };

/** The ended sessions that are in force, in memory. */
export type RevocationLog = {
  has(sessionId: string): boolean;
  size(): number;
  /** Takes note of sessions that have ended and are in no page of the feed yet. */
  add(revocations: Revocation[]): void;
  /** Adds the next pages of the feed, up to the position `end`. `now` is the database's time, in seconds since 1970. */
  append(pages: StoredPage[], end: number, now: number): void;
  /** What is behind a position: as many as a full page has, and fewer also when there is more. */
  after(position: number): LogPage;
  /** The position that has been appended up to. */
  end(): number;
  /**
   * Forgets all positions, as those of another life of the database are good for nothing. That the sessions have ended
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

// So that pruning never takes long.
const PRUNED_AT_ONCE = 4 * PAGE_SIZE;

/** A page, and until when it is in force: a time of `performance.now()`. */
type Page = { position: number; entries: string; until: number };

/** Keeps the pages of the feed as they were read, and the ids of their sessions. */
export function createRevocationLog(): RevocationLog {
  const expiries = new Map<string, number>();
  let pages: Page[] = [];
  let end = 0;
  // How far the database's clock is ahead of `performance.now()`.
  let clockOffsetMs = Date.now() - performance.now();
  // What was known at the last restart and has not been appended since.
  let unseen: Set<string> | undefined;

  const untilOf = (exp: number) => (exp + MARGIN_S) * 1000 - clockOffsetMs;

  return {
    has: sessionId => expiries.has(sessionId),
    size: () => expiries.size,
    add(revocations) {
      // Those whose tokens have expired get into no page, with which they would be forgotten.
      const now = performance.now();
      for (const { sid, exp } of revocations) if (untilOf(exp) >= now) expiries.set(sid, exp);
    },
    append(read, upTo, now) {
      clockOffsetMs = now * 1000 - performance.now();
      for (const { position, entries, expiresAt } of read) {
        pages.push({ position, entries, until: untilOf(expiresAt) });
        forEachEntry(entries, ({ sid, exp }) => {
          expiries.set(sid, exp);
          unseen?.delete(sid);
        });
      }
      end = upTo;
    },
    after(position) {
      const found: Page[] = [];
      let length = 0;
      for (let index = indexBehind(pages, position); index < pages.length; index++) {
        const page = pages[index] as Page;
        length += page.entries.length + 1;
        if (found.length > 0 && length > PAGE_SIZE * ENTRY_LENGTH) break;
        found.push(page);
      }
      const last = found.at(-1);
      const hasMore = last !== undefined && last !== pages.at(-1);
      return {
        entries: found.map(({ entries }) => entries).join(','),
        end: hasMore ? last.position : Math.max(position, end),
        hasMore,
      };
    },
    end: () => end,
    restart() {
      pages = [];
      end = 0;
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
      let pruned = 0;
      pages = pages.filter(({ entries, until }) => {
        if (until >= now || pruned >= PRUNED_AT_ONCE) return true;
        pruned += countEntries(entries);
        forEachEntry(entries, ({ sid }) => expiries.delete(sid));
        return false;
      });
    },
  };
}

/** The index of the first page behind a position. */
function indexBehind(pages: Page[], position: number): number {
  let [low, high] = [0, pages.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((pages[middle] as Page).position > position) high = middle;
    else low = middle + 1;
  }
  return low;
}
