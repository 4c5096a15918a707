import bcrypt from 'bcrypt';

/** A cost below this is not safe (OWASP's Password Storage Cheat Sheet). */
export const LEAST_COST = 10;

/** How long one hash of a cost takes in this thread, the median of `samples`, in milliseconds. */
export function measureHash(cost: number, samples: number): number {
  const times = Array.from({ length: samples }, () => {
    const before = performance.now();
    bcrypt.hashSync('correct horse battery staple', cost);
    return performance.now() - before;
  });
  return times.sort((a, b) => a - b)[Math.floor(samples / 2)] as number;
}
