import { createHash } from 'node:crypto';
import type { Queryable } from '@latchkey/service-kit/database';
import { PACKED_LENGTH, type Revocation } from '@latchkey/user-schema';
import fp from 'fastify-plugin';
import { SERVICE_ORIGIN } from '../events/recorder.js';
import { StaleError } from '../http/errors.js';
import { type Cursor, formatCursor, LIFE_LENGTH } from './cursor.js';
import { createResponseCache } from './response-cache.js';
import { restoreRevocations } from './restore.js';
import { createRevocationLog, type LogPage } from './revocation-log.js';
import { PAGE_SIZE, pageRevocations, readPages } from './stored-pages.js';
import { unpack } from './unpack.js';

declare module 'fastify' {
  interface FastifyInstance {
    revocations: RevocationFeed;
  }
}

type RevocationFeed = {
  /** Whether a session has ended; tokens of sessions that ended long ago have expired. */
  has(sessionId: string): boolean;
  /** How many ended sessions are known, and how long ago the database was last asked for them. */
  state(): { size: number; ageMs: number };
  /** Adds sessions that this replica has ended: it refuses their tokens from now on. The feed reads them from the database. */
  add(ended: Revocation[]): void;
  /**
   * Reads the next page behind a cursor, or the first page when there is none, as JSON, packed or not. When there is no new
   * entry, waits until there is one, the time is over, the caller closes the connection or the service closes.
   *
   * @throws StaleError when the database has not responded for a while
   */
  read(after: Cursor | undefined, isPacked: boolean, waitMs: number, caller: AbortSignal): Promise<Buffer>;
};

// Replicas are notified of ended sessions; the interval covers lost notifications.
const RELOAD_EVERY_MS = 1000;
/** After this long without a response of the database, readers of the feed get 503. */
export const STALE_AFTER_MS = 5000;
// While sessions end all the time, there is always one that is in no page yet; the next load moves it.
const MAX_TURNS = 3;
// Ended sessions that one statement writes back to a database that was restored.
const RESTORED_AT_ONCE = 5000;
// A load that takes longer continues later, so that others can use the connection.
const LOAD_MS = 500;
// As many sessions as take less time packed than a page takes as JSON.
const PACKED_AT_ONCE = 4 * PAGE_SIZE;
const MAX_SHARED_BYTES = 8 * 1024 * 1024;

/** Keeps the sessions that ended while access tokens of them live, and serves them as the feed: `app.revocations`. */
export default fp(
  async app => {
    const log = createRevocationLog();
    const waiting = new Set<() => void>();
    const shared = createResponseCache(MAX_SHARED_BYTES);
    let life = '';
    let isComplete = false;
    let readAt = Number.NEGATIVE_INFINITY;
    let keys: string[] = [];
    let keysTag = '';

    const wake = () => {
      for (const resume of waiting) resume();
    };

    /** Starts over when the database was restored or replaced: the old positions mean nothing in its new life. */
    const begin = (now: string) => {
      if (life !== '') {
        app.log.warn({ known: log.size() }, 'the database was restarted or replaced: ended sessions are read anew');
      }
      life = now;
      isComplete = false;
      log.restart();
    };

    /** Writes ended sessions back that a restored database has lost. */
    const restore = async (db: Queryable) => {
      const missing = log.missing();
      if (missing.length === 0) return log.settle();
      let restored = 0;
      const atOnce = RESTORED_AT_ONCE * PACKED_LENGTH;
      for (let at = 0; at < missing.length; at += atOnce) {
        restored += await restoreRevocations(db, unpack(missing.subarray(at, at + atOnce)), SERVICE_ORIGIN);
      }
      log.settle();
      if (restored === 0) return;
      app.log.warn({ restored }, 'the database had forgotten sessions that have ended; they are ended again');
      await load(db);
    };

    /** Reads what is new; resolves to `true` when there is more to read. */
    const load = async (db: Queryable): Promise<boolean> => {
      const deadline = performance.now() + LOAD_MS;
      log.prune();
      for (let turns = 0; turns <= MAX_TURNS; ) {
        const askedAt = performance.now();
        const reading = await readPages(db, log.end());
        readAt = askedAt;
        const found = reading.life.slice(0, LIFE_LENGTH);
        if (found !== life) {
          const isFirst = life === '';
          begin(found);
          turns++;
          // These pages were read from a position of the previous life.
          if (!isFirst) continue;
        }
        log.append(reading.pages, reading.end, reading.now);
        const isNews = reading.pages.length > 0 || (!isComplete && !reading.hasMore);
        isComplete ||= !reading.hasMore;
        if (isNews) wake();
        if (!reading.hasMore) {
          if (!reading.hasUnpaged) break;
          // Another replica may have moved them meanwhile; the next turn reads its pages.
          const mayHaveMore = await pageRevocations(db);
          if (!mayHaveMore) turns++;
        }
        if (isComplete && performance.now() > deadline) return true;
      }
      if (isComplete) await restore(db);
      return false;
    };
    const reload = await app.follow('revocations', RELOAD_EVERY_MS, async db => {
      if (await load(db)) setImmediate(() => void reload());
    });

    app.signingKeys.onChange(wake);
    const publishedKeys = () => {
      const published = app.signingKeys.jwks().keys.map(({ kid }) => kid);
      if (published.join() !== keys.join()) {
        keys = published;
        keysTag = createHash('sha256').update(keys.join()).digest('base64url').slice(0, 11);
      }
      return { keys, keysTag };
    };

    let closing = false;
    app.addHook('preClose', async () => {
      closing = true;
      wake();
    });

    /** Resolves when there may be new entries, at the latest after `waitMs`. */
    const pause = (waitMs: number, caller: AbortSignal) =>
      new Promise<void>(resolve => {
        const resume = () => {
          clearTimeout(timer);
          caller.removeEventListener('abort', resume);
          waiting.delete(resume);
          resolve();
        };
        const timer = setTimeout(resume, waitMs);
        caller.addEventListener('abort', resume);
        waiting.add(resume);
      });

    const toResponse = (position: number, { packed, end, hasMore }: LogPage, isPacked: boolean): Buffer => {
      const { keys, keysTag } = publishedKeys();
      const more = hasMore || !isComplete;
      const cursor = formatCursor({ life, position: end, keys: keysTag });
      return shared.get(`${position} ${cursor} ${more} ${isPacked}`, () => {
        const sessions = isPacked
          ? `"revoked":[],"packed":"${packed.toString('base64')}"`
          : `"revoked":${JSON.stringify(unpack(packed))}`;
        const members = `"cursor":"${cursor}",${sessions},"keys":${JSON.stringify(keys)}`;
        return Buffer.from(`{${members}${more ? ',"more":true' : ''}}`);
      });
    };

    app.decorate('revocations', {
      has: log.has,
      state: () => ({ size: log.size(), ageMs: performance.now() - readAt }),
      add: log.add,
      async read(cursor, isPacked, waitMs, caller) {
        const deadline = performance.now() + waitMs;
        for (;;) {
          if (performance.now() - readAt > STALE_AFTER_MS) throw new StaleError();
          // A cursor of another life of the database is read from the beginning.
          const position = cursor?.life === life ? cursor.position : 0;
          const page = log.after(position, isPacked ? PACKED_AT_ONCE : PAGE_SIZE);
          const isNews = page.packed.length > 0 || cursor?.life !== life || cursor.keys !== publishedKeys().keysTag;
          const leftMs = deadline - performance.now();
          if (isNews || leftMs <= 0 || closing || caller.aborted) return toResponse(position, page, isPacked);
          await pause(leftMs, caller);
        }
      },
    });
  },
  { name: 'feed', dependencies: ['database', 'keys'] },
);
