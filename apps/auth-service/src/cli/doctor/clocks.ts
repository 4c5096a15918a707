import type { Connection } from './connection.js';
import { duration, type Finding, fail, ok, warn } from './finding.js';

const WARN_MS = 1000;
// Beyond it, this machine rejects valid tokens or accepts expired ones for longer than any tolerance.
const FAIL_MS = 30_000;
const ADVICE = 'Synchronise both clocks by NTP, with chrony or systemd-timesyncd.';
const SAMPLES = 3;

/**
 * Judges the difference between a clock and this machine's.
 *
 * @param name of the finding
 * @param aheadMs positive when the other clock is ahead
 * @param blurMs the uncertainty of `aheadMs`
 */
export function judgeClock(name: string, aheadMs: number, blurMs: number, whose: string): Finding {
  const off = Math.max(0, Math.abs(aheadMs) - blurMs);
  const detail = `the clock of ${whose} is ${duration(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead of' : 'behind'} this machine’s`;
  if (off > FAIL_MS) return fail(name, detail, ADVICE);
  if (off > WARN_MS) return warn(name, detail, ADVICE);
  return ok(
    name,
    `the clock of ${whose} and this machine’s differ by ${duration(Math.max(Math.abs(aheadMs), blurMs))} at most`,
  );
}

/** Compares this machine's clock with the database's, by the quickest of a few queries. */
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
  return [judgeClock('clock', best.aheadMs, best.blurMs, 'the database')];
}
