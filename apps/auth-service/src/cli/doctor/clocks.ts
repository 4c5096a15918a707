import type { Connection } from './connection.js';
import { duration, type Finding, fail, ok, warn } from './finding.js';

const NAME = 'clock';
const WARN_MS = 1000;
// Beyond it this machine refuses tokens that live, or accepts ones that do not, for longer than anybody tolerates.
const FAIL_MS = 30_000;
const ADVICE = 'Let both synchronise their clocks (chrony, systemd-timesyncd).';
const SAMPLES = 3;

/**
 * Judges how far a clock is from this machine's.
 *
 * @param aheadMs positive when the other clock is ahead
 * @param blurMs how well that is known
 */
export function judgeClock(aheadMs: number, blurMs: number, whose: string): Finding {
  const off = Math.max(0, Math.abs(aheadMs) - blurMs);
  const detail = `the clock of ${whose} is ${duration(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead of' : 'behind'} this machine’s`;
  if (off > FAIL_MS) return fail(NAME, detail, ADVICE);
  if (off > WARN_MS) return warn(NAME, detail, ADVICE);
  return ok(NAME, `that of ${whose} agrees with this machine’s to ${duration(Math.max(Math.abs(aheadMs), blurMs))}`);
}

/** Compares clocks with the database, by the quickest of a few questions. */
export async function checkClock({ client }: Connection): Promise<Finding[]> {
  const readings: { aheadMs: number; blurMs: number }[] = [];
  for (let i = 0; i < SAMPLES; i++) {
    const before = Date.now();
    const { rows } = await client.query<{ at: number }>(
      'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS at',
    );
    const after = Date.now();
    readings.push({ aheadMs: (rows[0]?.at ?? 0) - (before + after) / 2, blurMs: (after - before) / 2 + 1 });
  }
  const [best] = readings.sort((a, b) => a.blurMs - b.blurMs) as [(typeof readings)[number]];
  return [judgeClock(best.aheadMs, best.blurMs, 'the database')];
}
