import { createSessionExpiries, PACKED_LENGTH, type Revocation, type SessionExpiries } from '@latchkey/user-schema';
import { MARGIN_S, type StoredPage } from './stored-pages.js';

/** A page of the log: packed sessions, and the position of the last one. */
export type LogPage = { packed: Buffer; end: number; hasMore: boolean };

/** The ended sessions that are in force, in memory. */
export type RevocationLog = {
  has(sessionId: string): boolean;
  size(): number;
  /** Adds sessions that have ended and are in no page of the feed yet. */
  add(revocations: Revocation[]): void;
  /** Adds the next pages of the feed, up to the position `end`. `now` is the database's time, in seconds since 1970. */
  append(pages: StoredPage[], end: number, now: number): void;
  /** Returns the sessions behind a position, up to `most`, or a page of more. There may be fewer although `hasMore` is true. */
  after(position: number, most: number): LogPage;
  /** The position of the last appended page. */
  end(): number;
  /**
   * Forgets all positions, because they mean nothing in another life of the database. `has` still knows the sessions.
   */
  restart(): void;
  /** The sessions that were known at the last restart and have not been appended since, packed. */
  missing(): Buffer;
  /** Ends the search for what is missing. */
  settle(): void;
  /** Removes expired pages and a share of the expired sessions; called at an interval. */
  prune(): void;
};

/** A page, and until when it is in force: a time of `performance.now()`. */
type Page = { position: number; packed: Buffer; until: number };

/** Keeps the pages of the feed as they were read, and the ids of their sessions. */
export function createRevocationLog(): RevocationLog {
  let expiries = createSessionExpiries();
  // What was known at the last restart.
  let before: SessionExpiries | undefined;
  let pages: Page[] = [];
  let end = 0;
  // How far the database's clock is ahead of `performance.now()`.
  let clockOffsetMs = Date.now() - performance.now();

  /** Sessions whose last token expired before are in force no more, in seconds since 1970. */
  const earliest = () => (performance.now() + clockOffsetMs) / 1000 - MARGIN_S;
  const missing = () => Buffer.from(before?.pack(earliest(), expiries) ?? []);
  const untilOf = (exp: number) => (exp + MARGIN_S) * 1000 - clockOffsetMs;

  return {
    has: sessionId => expiries.has(sessionId) || before?.has(sessionId) === true,
    size: () => Math.max(expiries.size(), before?.size() ?? 0),
    add(revocations) {
      for (const { sid, exp } of revocations) expiries.set(sid, exp);
    },
    append(read, upTo, now) {
      clockOffsetMs = now * 1000 - performance.now();
      for (const { position, packed, expiresAt } of read) {
        pages.push({ position, packed, until: untilOf(expiresAt) });
        expiries.addPacked(packed);
      }
      end = upTo;
    },
    after(position, most) {
      const found: Page[] = [];
      let length = 0;
      for (let index = indexBehind(pages, position); index < pages.length; index++) {
        const page = pages[index] as Page;
        length += page.packed.length;
        if (found.length > 0 && length > most * PACKED_LENGTH) break;
        found.push(page);
      }
      const last = found.at(-1);
      const hasMore = last !== undefined && last !== pages.at(-1);
      return {
        packed: found.length === 1 ? (last as Page).packed : Buffer.concat(found.map(({ packed }) => packed)),
        end: hasMore ? last.position : Math.max(position, end),
        hasMore,
      };
    },
    end: () => end,
    restart() {
      pages = [];
      end = 0;
      const known = expiries;
      if (before) known.addPacked(before.pack(earliest(), known));
      before = known;
      expiries = createSessionExpiries();
    },
    missing,
    settle() {
      expiries.addPacked(missing());
      before = undefined;
    },
    prune() {
      const now = performance.now();
      pages = pages.filter(({ until }) => until >= now);
      expiries.sweep(earliest());
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
