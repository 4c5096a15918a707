import type { Settings } from '../../config/settings.js';
import { LEAST_COST, measureHash } from '../../credentials/password/measure.js';
import { duration, type Finding, ok, plural, warn } from './finding.js';

const NAME = 'hashing';
const STORED = 'stored-hashes';
const SAMPLES = 3;
// Each step doubles the time, so higher costs are computed.
const MEASURED_COST = 12;
const SLOW_MS = 1000;
const FAST_MS = 50;
// The default budget of "latchkey passwords calibrate".
const BUDGET_MS = 250;

/** Measures the time of a hash on this machine. */
export function checkHashing({ bcryptCost }: Settings): Finding[] {
  const cost = Math.min(bcryptCost, MEASURED_COST);
  const ms = measureHash(cost, SAMPLES) * 2 ** (bcryptCost - cost);
  const detail = `bcrypt of cost ${bcryptCost} takes ${duration(ms)} on this machine`;
  const fitting = Math.max(LEAST_COST, bcryptCost + Math.floor(Math.log2(BUDGET_MS / ms)));
  const advice = `BCRYPT_COST=${fitting} takes about ${duration(ms * 2 ** (fitting - bcryptCost))}; measure it with "latchkey passwords calibrate".`;
  if (ms > SLOW_MS) return [warn(NAME, `${detail}: every sign-in waits that long`, advice)];
  if (ms < FAST_MS) return [warn(NAME, `${detail}: guesses at stolen hashes are as fast`, advice)];
  return [ok(NAME, detail)];
}

/** Looks for hashes of a higher cost than BCRYPT_COST, which slow every sign-in down. */
export function checkHighestCost(highest: number, { bcryptCost }: Settings): Finding[] {
  if (highest <= bcryptCost) return [];
  const factor = 2 ** (highest - bcryptCost);
  const detail = `an account has a hash of cost ${highest}, so every sign-in takes ${factor} times as long as with BCRYPT_COST=${bcryptCost}`;
  const advice =
    'This ends when each of these accounts has signed in; "latchkey passwords report" counts them. Otherwise raise BCRYPT_COST.';
  return [warn(STORED, detail, advice)];
}

/** Looks for hashes that no check has seen. */
export function checkUnread(unread: number): Finding[] {
  if (unread === 0) return [];
  const detail = `the hashes of ${plural(unread, 'account')} have not been read yet: what is said of costs and secrets leaves them out`;
  return [warn(STORED, detail, 'A running service reads them; so does "latchkey passwords report".')];
}
