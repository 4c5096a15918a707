import type { Settings } from '../../config/settings.js';
import { LEAST_COST, measureHash } from '../../credentials/password/measure.js';
import { duration, type Finding, ok, warn } from './finding.js';

const NAME = 'hashing';
const STORED = 'stored-hashes';
const SAMPLES = 3;
// One more doubles the time, so what is dearer need not be measured.
const MEASURED_COST = 12;
const SLOW_MS = 1000;
const FAST_MS = 50;
// What "latchkey passwords calibrate" aims at.
const BUDGET_MS = 250;

/** Measures what a hash costs on this machine. */
export function checkHashing({ bcryptCost }: Settings): Finding[] {
  const cost = Math.min(bcryptCost, MEASURED_COST);
  const ms = measureHash(cost, SAMPLES) * 2 ** (bcryptCost - cost);
  const detail = `bcrypt of cost ${bcryptCost} takes ${duration(ms)} on this machine`;
  const fitting = Math.max(LEAST_COST, bcryptCost + Math.floor(Math.log2(BUDGET_MS / ms)));
  const advice = `BCRYPT_COST=${fitting} takes some ${duration(ms * 2 ** (fitting - bcryptCost))}; "latchkey passwords calibrate" measures it.`;
  if (ms > SLOW_MS) return [warn(NAME, `${detail}: every sign-in waits for that`, advice)];
  if (ms < FAST_MS) return [warn(NAME, `${detail}: so does every guess of who steals the hashes`, advice)];
  return [ok(NAME, detail)];
}

/** Looks for hashes that make every sign-in dearer than it need be. */
export function checkHighestCost(highest: number, { bcryptCost }: Settings): Finding[] {
  if (highest <= bcryptCost) return [];
  const factor = 2 ** (highest - bcryptCost);
  const detail = `some account has a hash of cost ${highest}, so every sign-in takes ${factor} times as long as BCRYPT_COST=${bcryptCost} says`;
  const advice =
    'That ends when each such account has signed in; "latchkey passwords report" counts them. Or raise BCRYPT_COST on purpose.';
  return [warn(STORED, detail, advice)];
}
