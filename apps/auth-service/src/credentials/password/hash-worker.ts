import { getPriority, setPriority } from 'node:os';
import bcrypt from 'bcrypt';
import { readForeignHash } from './foreign-hashes/index.js';

/** What a worker is asked to do. Passwords arrive peppered; the pepper stays in the main thread. */
export type HashTask =
  | { kind: 'hash'; input: string; cost: number }
  /** `paddings` are salts whose hashes are made for nothing, so that a row of a low cost takes as long as one of a high cost. */
  | { kind: 'compare'; input: string; stored: string; paddings: readonly string[] }
  /** A row that other software made, which is to take as long as one of bcrypt's cost `costsLike`. */
  | { kind: 'compare-foreign'; input: string; stored: string; costsLike: number };

/** What a worker returns: a hash or whether it matches, and how long that took in the thread, in milliseconds. */
export type HashResult = { value: string | boolean; tookMs: number };

const MIN_COST = 4;

// On Linux this lowers the thread that calls; elsewhere it would lower the whole process.
const nice = Number(process.argv[2] ?? 0);
if (process.platform === 'linux' && getPriority() < nice) setPriority(nice);

/**
 * Hashes or compares. The synchronous calls: they run in this thread and its priority, where the others would run in
 * libuv's pool, which DNS, files and WebCrypto need.
 */
export default function work(task: HashTask): HashResult {
  const before = performance.now();
  const value = run(task);
  return { value, tookMs: performance.now() - before };
}

function run(task: HashTask): string | boolean {
  if (task.kind === 'hash') return bcrypt.hashSync(task.input, task.cost);
  return task.kind === 'compare' ? compare(task) : compareForeign(task);
}

function compare({ input, stored, paddings }: Extract<HashTask, { kind: 'compare' }>): boolean {
  const matches = bcrypt.compareSync(input, stored);
  for (const salt of paddings) bcrypt.hashSync(input, salt);
  return matches;
}

/** An eighth of the time goes to bcrypt first, which measures how long the whole must take; what is left goes to bcrypt at the end. */
function compareForeign({ input, stored, costsLike }: Extract<HashTask, { kind: 'compare-foreign' }>): boolean {
  const before = performance.now();
  const cost = Math.max(costsLike - 3, MIN_COST);
  bcrypt.hashSync(input, cost);
  const msPerRound = (performance.now() - before) / 2 ** cost;
  const matches = readForeignHash(stored)?.matches(input) === true;
  const roundsLeft = () => 2 ** costsLike - (performance.now() - before) / msPerRound;
  // The smallest hash is 16 rounds.
  for (let left = roundsLeft(); left >= 8; left = roundsLeft()) {
    bcrypt.hashSync(input, Math.max(Math.floor(Math.log2(left)), MIN_COST));
  }
  return matches;
}
