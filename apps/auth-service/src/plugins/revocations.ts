import { createHash } from 'node:crypto';
import type { Revocations } from '@latchkey/user-schema';
import fp from 'fastify-plugin';
import { listRevocations, REVOCATION_MARGIN_S } from '../data/revocations.js';
import { StaleError } from '../errors.js';
import { isVisible, parseSnapshot, type Snapshot } from '../snapshot.js';

declare module 'fastify' {
  interface FastifyInstance {
    revocations: RevocationFeed;
  }
}

type RevocationFeed = {
  /** Whether a session has ended; tokens of sessions that ended long ago have expired. */
  has(sessionId: string): boolean;
  /** Hears of what has ended now, so that whoever ends a session and asks next is told so. */
  reload(): Promise<void>;
  /**
   * What has come since a cursor, or everything when there is none. When that is nothing, waits until there is something,
   * the time is over, the caller has gone or the service closes.
   *
   * @throws StaleError when the database has not answered for a while
   */
  read(after: Cursor | undefined, waitMs: number, signal: AbortSignal): Promise<Revocations>;
};

/** How far a reader is: what it has seen of the database, and of the keys. */
export type Cursor = { snapshot: Snapshot; keys: string };

// Replicas hear of an ended session at once; this is for when they cannot.
const RELOAD_EVERY_MS = 1000;
const STALE_AFTER_MS = 5000;

/** Reads a cursor; `undefined` when it is not one of ours. */
export function parseCursor(text: string): Cursor | undefined {
  const [snapshotText = '', keys = ''] = text.split('~');
  const snapshot = parseSnapshot(snapshotText);
  return snapshot && { snapshot, keys };
}

/** Keeps the sessions that ended while tokens of them live, and hands them on. */
export default fp(
  async app => {
    const ended = new Map<string, { exp: number; xid: bigint }>();
    const waiting = new Set<() => void>();
    let snapshot: string | undefined;
    let freshAt = performance.now();

    const wake = () => {
      for (const resume of waiting) resume();
    };

    const reload = await app.follow('revocations', RELOAD_EVERY_MS, async () => {
      const askedAt = performance.now();
      const found = await listRevocations(app.pg, snapshot);
      for (const { sid, exp, xid } of found.revocations) ended.set(sid, { exp, xid: BigInt(xid) });
      snapshot = found.snapshot;
      freshAt = askedAt;
      if (found.revocations.length > 0) wake();
      const forgotten = Date.now() / 1000 - REVOCATION_MARGIN_S;
      for (const [sid, { exp }] of ended) if (exp < forgotten) ended.delete(sid);
    });
    app.signingKeys.onChange(wake);

    let closing = false;
    app.addHook('preClose', async () => {
      closing = true;
      wake();
    });

    /** Resolves when there may be news. */
    const pause = (waitMs: number, signal: AbortSignal) =>
      new Promise<void>(resolve => {
        const resume = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', resume);
          waiting.delete(resume);
          resolve();
        };
        const timer = setTimeout(resume, waitMs);
        signal.addEventListener('abort', resume);
        waiting.add(resume);
      });

    const since = (after: Cursor | undefined) => {
      if (performance.now() - freshAt > STALE_AFTER_MS) throw new StaleError();
      const revoked = [...ended]
        .filter(([, { xid }]) => !after || !isVisible(xid, after.snapshot))
        .map(([sid, { exp }]) => ({ sid, exp }));
      const keys = app.signingKeys.jwks().keys.map(({ kid }) => kid);
      const tag = createHash('sha256').update(keys.join()).digest('base64url').slice(0, 11);
      return {
        answer: { cursor: `${snapshot}~${tag}`, revoked, keys },
        isNews: revoked.length > 0 || after?.keys !== tag,
      };
    };

    app.decorate('revocations', {
      has: sessionId => ended.has(sessionId),
      reload,
      async read(after, waitMs, signal) {
        const deadline = performance.now() + waitMs;
        for (;;) {
          const { answer, isNews } = since(after);
          const leftMs = deadline - performance.now();
          if (isNews || leftMs <= 0 || closing || signal.aborted) return answer;
          await pause(leftMs, signal);
        }
      },
    });
  },
  { name: 'revocations', dependencies: ['changes', 'signing-keys'] },
);
