import type { SessionStore } from './session-store.js';

/** Runs work while nobody else who shares the session does, and resolves with its result. */
export type SessionLock = <T>(work: () => Promise<T>) => Promise<T>;

type LockManager = { request<T>(name: string, work: () => Promise<T>): Promise<T> };

const NAME = 'latchkey-session';
// A tab that was put to sleep may never give its lock back.
const PATIENCE_MS = 10_000;

const byStore = new WeakMap<SessionStore, SessionLock>();

/**
 * The lock of a store: among all tabs where the runtime has Web Locks, and otherwise among those in this process who use
 * the same store.
 */
export function lockOf(store: SessionStore): SessionLock {
  const { locks } = (globalThis as { navigator?: { locks?: LockManager } }).navigator ?? {};
  if (locks) return work => locks.request(store.name === undefined ? NAME : `${NAME}:${store.name}`, work);
  return queueOf(store);
}

/** A lock among those in this process who use the same store. */
export function queueOf(store: SessionStore): SessionLock {
  const lock = byStore.get(store) ?? createQueue();
  byStore.set(store, lock);
  return lock;
}

function createQueue(): SessionLock {
  let last: Promise<unknown> = Promise.resolve();
  return work => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
}

/**
 * Runs work under a lock; without it when it is not to be had for a while, or fails. That is safe: the service answers
 * parallel refreshes with the same successor. The lock saves requests.
 */
export function withLock<T>(lock: SessionLock, work: () => Promise<T>): Promise<T> {
  let running: Promise<T> | undefined;
  const run = () => {
    clearTimeout(timer);
    running ??= work();
    return running;
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  return new Promise((resolve, reject) => {
    timer = setTimeout(() => run().then(resolve, reject), PATIENCE_MS);
    Promise.resolve()
      .then(() => lock(run))
      .catch(run)
      .then(resolve, reject);
  });
}
