import { createHash } from 'node:crypto';
import type { Queryable } from '@latchkey/service-kit/database';
import type { Revocation } from '@latchkey/user-schema';
import fp from 'fastify-plugin';
import { SERVICE_ORIGIN } from '../events/recorder.js';
import { StaleError } from '../http/errors.js';
import { type Cursor, formatCursor, LIFE_LENGTH } from './cursor.js';
import { toEntries } from './entries.js';
import { createResponseCache } from './response-cache.js';
import { createRevocationLog, type LogPage } from './revocation-log.js';
import { pageRevocations, readPages, restoreRevocations } from './stored-pages.js';

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
  /** Takes note of sessions that were ended here, whose tokens are refused from now on. The feed follows by itself. */
  add(ended: Revocation[]): void;
  /**
   * What has come since a cursor, or everything when there is none, a page at a time, as JSON, packed or not. When there
   * is nothing, waits until there is something, the time is over, the caller has gone or the service closes.
   *
   * @throws StaleError when the database has not responded for a while
   */
  read(after: Cursor | undefined, isPacked: boolean, waitMs: number, caller: AbortSignal): Promise<Buffer>;
};

// Replicas are notified of an ended session; this is for when a notification is lost.
const RELOAD_EVERY_MS = 1000;
const STALE_AFTER_MS = 5000;
// Where sessions end all the time there is always one that is in no page; the next load takes it.
const MAX_TURNS = 3;
// How many sessions a database that was set back is told at once.
const RESTORED_AT_ONCE = 5000;
// A load that has more to do leaves the connection to others meanwhile.
const LOAD_MS = 500;
const MAX_SHARED_BYTES = 8 * 1024 * 1024;

/** Keeps the sessions that ended while tokens of them live, and hands them on. */
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

    /** Everything is read anew when the database has been set back or replaced: positions of before mean nothing then. */
    const begin = (now: string) => {
      if (life !== '') {
        app.log.warn({ known: log.size() }, 'the database was restarted or replaced: ended sessions are read anew');
      }
      life = now;
      isComplete = false;
      log.restart();
    };

    /** Gives a database that was set back what it has forgotten. */
    const restore = async (db: Queryable) => {
      const missing = log.missing();
      if (missing.length === 0) return log.settle();
      let restored = 0;
      for (let i = 0; i < missing.length; i += RESTORED_AT_ONCE) {
        restored += await restoreRevocations(db, missing.slice(i, i + RESTORED_AT_ONCE), SERVICE_ORIGIN);
      }
      log.settle();
      if (restored === 0) return;
      app.log.warn({ restored }, 'the database had forgotten sessions that have ended; they are ended again');
      await load(db);
    };

    /** Reads what is new; resolves to whether there is more. */
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
          // It was read from a position of another life.
          if (!isFirst) continue;
        }
        log.append(reading.pages, reading.end, reading.now);
        const isNews = reading.pages.length > 0 || (!isComplete && !reading.hasMore);
        isComplete ||= !reading.hasMore;
        if (isNews) wake();
        if (!reading.hasMore) {
          if (!reading.hasUnpaged) break;
          // Another replica may have done so meanwhile: what it did is read in the next turn.
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

    /** Resolves when there may be news. */
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
          : `"revoked":[${toEntries(packed)}]`;
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
          // A reader that comes from another life of the database gets everything.
          const position = cursor?.life === life ? cursor.position : 0;
          const page = log.after(position);
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
