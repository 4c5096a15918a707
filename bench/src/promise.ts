import type { Row } from './report.js';

type Judged = Pick<Row, 'measured' | 'ratio' | 'promise'>;

const COMPARISONS: Record<string, (value: number, limit: number) => boolean> = {
  '<': (value, limit) => value < limit,
  '≤': (value, limit) => value <= limit,
  '>': (value, limit) => value > limit,
  '≥': (value, limit) => value >= limit,
};

/**
 * Whether a row keeps its promise: `yes`, a number, a comparison with one (`<`, `≤`, `>`, `≥`), or a range (`0.47 to 0.53`).
 * It is compared with the ratio when the row has one, otherwise with what was measured. No promise is kept.
 *
 * @throws Error when the promise is none of these: one that nothing reads would never be missed
 */
export function keepsPromise({ measured, ratio, promise }: Judged): boolean {
  const value = ratio ?? measured;
  if (promise === '') return true;
  if (promise === 'yes') return value === promise;
  const [, low, high] = /^(-?[\d.]+) to (-?[\d.]+)$/.exec(promise) ?? [];
  if (low !== undefined && high !== undefined) return isWithin(value, readNumber(low), readNumber(high));
  const [, sign, limit] = /^(?:([<≤>≥]) )?(-?[\d.]+)$/.exec(promise) ?? [];
  if (limit === undefined) throw new Error(`"${promise}" is no promise that can be judged`);
  const number = readNumber(limit);
  const compare = sign === undefined ? undefined : COMPARISONS[sign];
  // What could not be measured, such as NaN or a text, keeps nothing.
  if (typeof value !== 'number') return false;
  return compare ? compare(value, number) : value === number;
}

function isWithin(value: number | string, low: number, high: number): boolean {
  return typeof value === 'number' && value >= low && value <= high;
}

function readNumber(text: string): number {
  const number = Number(text);
  if (Number.isNaN(number)) throw new Error(`"${text}" in a promise is not a number`);
  return number;
}
