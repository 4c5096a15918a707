import { executionAsyncResource } from 'node:async_hooks';

const kept: object[] = [];

/**
 * Keeps one object of `process.nextTick` alive. A garbage collection that meets none, as one does in an idle process, makes V8 of
 * Node 20 forget their shape, and the code that was compiled for it is slower from then on: by a fifth of a token check.
 */
export function keepTick(): void {
  process.nextTick(() => {
    if (kept.length === 0) kept.push(executionAsyncResource());
  });
}
