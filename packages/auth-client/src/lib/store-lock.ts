import type { SessionLock, SessionStore } from '../session-store.js';

type LockManager = { request<T>(name: string, work: () => Promise<T>): Promise<T> };

const NAME = 'latchkey-session';
// The browser may suspend a tab that holds the lock.
const MAX_WAIT_MS = 10_000;

const queues = new WeakMap<SessionStore, SessionLock>();

/** What the users of a store have in common, in all tabs. */
export function nameOfStore({ name }: SessionStore): string {
  return name === undefined ? NAME : `${NAME}:${name}`;
}

/** The default lock of a store: among all tabs where the runtime has Web Locks, otherwise in this process. */
export function lockOfStore(store: SessionStore): SessionLock {
  const { locks } = (globalThis as { navigator?: { locks?: LockManager } }).navigator ?? {};
  if (locks) return work => locks.request(nameOfStore(store), work);
  return queueOfStore(store);
}

/** A lock among the users of a store in this process. */
export function queueOfStore(store: SessionStore): SessionLock {
  const queue = queues.get(store) ?? createQueue();
  queues.set(store, queue);
  return queue;
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
 * Runs work under a lock, or without it when the lock fails or is not granted within 10 seconds. The lock only saves
 * requests: the service responds to parallel refreshes with the same successor.
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
    timer = setTimeout(() => run().then(resolve, reject), MAX_WAIT_MS);
    Promise.resolve()
      .then(() => lock(run))
      .catch(run)
      .then(resolve, reject);
  });
}
