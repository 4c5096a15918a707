import { createHash } from 'node:crypto';
import type { Revocations } from '@latchkey/user-schema';
import fp from 'fastify-plugin';
import type { WithConfig } from '../config.js';
import { adoptRevocations, listRevocations } from '../data/revocations.js';
import { StaleError } from '../errors.js';
import { createOutageWatch } from '../tokens/outage.js';
import { createRevocationLog } from '../tokens/revocation-log.js';
import { parseSnapshot, type Snapshot } from '../tokens/snapshot.js';

declare module 'fastify' {
  interface FastifyInstance {
    revocations: RevocationFeed;
  }
}

type RevocationFeed = {
  /** Whether a session has ended; tokens of sessions that ended long ago have expired. */
  has(sessionId: string): boolean;
  /** How many ended sessions are told, and how long ago they were last read. */
  state(): { size: number; ageMs: number };
  /**
   * How long a used refresh token still gives its successor: the setting, and as long as the database was away, when it is
   * now, or was until less than that setting ago. In seconds.
   */
  refreshGraceS(): number;
  /** Hears of what has ended now, so that whoever ends a session and asks next is told so. */
  reload(): Promise<void>;
  /**
   * What has come since a cursor, or everything when there is none: {@link Revocations} as JSON, which those who ask the
   * same share. When there is nothing, waits until there is something, the time is over, the caller has gone or the service
   * closes.
   *
   * @throws StaleError when the database has not answered for a while
   */
  read(after: Cursor | undefined, waitMs: number, caller: AbortSignal): Promise<Buffer>;
};

/** How far a reader is: what it has seen of the database, and of the keys. */
export type Cursor = { text: string; snapshot: Snapshot; keys: string };

// Replicas hear of an ended session at once; this is for when they cannot.
const RELOAD_EVERY_MS = 1000;
const STALE_AFTER_MS = 5000;
const AWAY_AFTER_MS = 3 * RELOAD_EVERY_MS;
const MAX_SHARED = 100;

/** Reads a cursor; `undefined` when it is not one of ours. */
export function parseCursor(text: string): Cursor | undefined {
  const [snapshotText = '', keys = ''] = text.split('~');
  const snapshot = parseSnapshot(snapshotText);
  return snapshot && { text, snapshot, keys };
}

/** Keeps the sessions that ended while tokens of them live, and hands them on. */
export default fp<WithConfig>(
  async (app, { config }) => {
    const log = createRevocationLog();
    const waiting = new Set<() => void>();
    const answers = new Map<string, Buffer>();
    let snapshotText: string | undefined;
    let snapshot: Snapshot | undefined;
    const outages = createOutageWatch(AWAY_AFTER_MS, config.refreshGraceS * 1000);
    let keys: string[] = [];
    let keysTag = '';

    const wake = () => {
      answers.clear();
      for (const resume of waiting) resume();
    };

    const reload = await app.follow('revocations', RELOAD_EVERY_MS, async () => {
      const askedAt = performance.now();
      const found = await listRevocations(app.pg, snapshotText);
      snapshotText = found.snapshot;
      snapshot = parseSnapshot(snapshotText) as Snapshot;
      outages.heard(askedAt);
      log.prune();
      if (found.revocations.length === 0) return;
      log.add(found.revocations);
      wake();
      const { xmax } = snapshot;
      if (found.revocations.some(({ xid }) => BigInt(xid) >= xmax)) await adoptRevocations(app.pg);
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

    /** The answer for now, `undefined` when there is no news. */
    const since = (after: Cursor | undefined): Buffer | undefined => {
      if (performance.now() - outages.heardAt() > STALE_AFTER_MS) throw new StaleError();
      const known = answers.get(after?.text ?? '');
      if (known) return known;
      const { keys, keysTag } = publishedKeys();
      const revoked = log.since(after?.snapshot);
      if (revoked.length === 0 && after?.keys === keysTag) return undefined;
      const answer = toJson({ cursor: `${snapshotText}~${keysTag}`, revoked, keys });
      if (answers.size >= MAX_SHARED) answers.clear();
      answers.set(after?.text ?? '', answer);
      return answer;
    };

    app.decorate('revocations', {
      has: log.has,
      state: () => ({ size: log.size(), ageMs: performance.now() - outages.heardAt() }),
      reload,
      refreshGraceS: () => config.refreshGraceS + Math.ceil(outages.awayMs() / 1000),
      async read(cursor, waitMs, caller) {
        const deadline = performance.now() + waitMs;
        const isAhead = () => cursor !== undefined && snapshot !== undefined && cursor.snapshot.xmax > snapshot.xmax;
        // It comes from a replica that has heard more, or from a life of the database that a restore has undone.
        if (isAhead()) await reload();
        const after = isAhead() ? undefined : cursor;
        for (;;) {
          const answer = since(after);
          const leftMs = deadline - performance.now();
          if (answer) return answer;
          if (leftMs <= 0 || closing || caller.aborted) {
            return toJson({ cursor: `${snapshotText}~${publishedKeys().keysTag}`, revoked: [], keys });
          }
          await pause(leftMs, caller);
        }
      },
    });
  },
  { name: 'revocations', dependencies: ['changes', 'signing-keys'] },
);

function toJson(answer: Revocations): Buffer {
  return Buffer.from(JSON.stringify(answer));
}
