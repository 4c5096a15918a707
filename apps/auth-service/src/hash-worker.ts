import { getPriority, setPriority } from 'node:os';
import bcrypt from 'bcrypt';

/** What a worker is asked to do. Passwords arrive peppered; the pepper stays in the main thread. */
export type HashTask =
  | { kind: 'hash'; input: string; cost: number }
  /** `paddings` are salts whose hashes are made for nothing, so that a cheap row takes as long as a dear one. */
  | { kind: 'compare'; input: string; stored: string; paddings: readonly string[] };

/** What a worker answers: a hash or whether it matches, and how long that took in the thread, in milliseconds. */
export type HashResult = { value: string | boolean; tookMs: number };

const LOW_PRIORITY = 10;

// On Linux this lowers the thread that calls; elsewhere it would lower the whole process.
if (process.platform === 'linux' && getPriority() < LOW_PRIORITY) setPriority(LOW_PRIORITY);

/**
 * Hashes or compares. bcrypt's synchronous calls: they run in this thread and its priority, where the others would run in
 * libuv's pool, which DNS, files and WebCrypto need.
 */
export default function work(task: HashTask): HashResult {
  const before = performance.now();
  const value = task.kind === 'hash' ? bcrypt.hashSync(task.input, task.cost) : compare(task);
  return { value, tookMs: performance.now() - before };
}

function compare({ input, stored, paddings }: Extract<HashTask, { kind: 'compare' }>): boolean {
  const matches = bcrypt.compareSync(input, stored);
  for (const salt of paddings) bcrypt.hashSync(input, salt);
  return matches;
}
