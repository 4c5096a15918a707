import type { SignedIn } from '@latchkey/auth-client';
import bcrypt from 'bcrypt';
import { HAS_LEDGER } from '../cpu.js';
import { type LoadGenerator, peak } from '../load.js';
import { median, progress, type Row, round } from '../report.js';
import { clientOf, forEach, setStage, signUp } from '../stage.js';
import { type Cost, describeCosts, openLedger } from './ledger.js';

// As many hashes at once as libuv's pool has threads, in the reference and in the service.
const IN_FLIGHT = 4;
// Most of what a sign-in runs is what a refresh runs, and ten thousand sign-ins would take minutes.
const WARM_UP_REFRESHES = 10_000;
// Two hundred sign-ins at cost 10, in rounds of bcrypt.
const WARM_UP_ROUNDS = 200 * 2 ** 10;
const PASSWORD = 'open sesame 42';
// The sessions of one account would become more than an account has.
const ACCOUNTS = 16;

/** Sign-ins, and the raw hash beside them. */
type SignIns = { signIns: Cost[]; hashes: { perSecond: number; cpuMs: number }[] };

type Options = { cost: number; isThrottled: boolean; seconds: number; rounds: number };

/** Measures sign-ins and raw bcrypt in turns, on a stage of its own: rows of another cost would change what a sign-in does. */
export async function measureSignIns(generator: LoadGenerator, options: Options): Promise<SignIns> {
  const { cost, isThrottled, seconds, rounds } = options;
  const stage = await setStage({
    BCRYPT_COST: String(cost),
    HASH_MAX_WAIT_MS: '8000',
    THROTTLE_ENABLED: String(isThrottled),
  });
  try {
    const service = await stage.start();
    const ledger = await openLedger(stage.postgres.url, generator);
    const accounts: SignedIn[] = [];
    await forEach(ACCOUNTS, IN_FLIGHT, async () => void accounts.push(await signUp(clientOf(service))));
    const bodies = accounts.map(({ user: { username } }) => ({ username, password: PASSWORD }));
    const load = { path: '/auth/sign-in', connections: IN_FLIGHT, bodies };
    const [{ refreshToken }] = accounts as [SignedIn];
    progress(`sign-ins of cost ${cost}, throttles ${isThrottled ? 'on' : 'off'}: warm-up`);
    const refresh = { path: '/auth/refresh', connections: 1, bodies: [{ refreshToken }], follows: 'refreshToken' };
    await ledger.warmUp(service, refresh, WARM_UP_REFRESHES);
    await ledger.warmUp(service, load, WARM_UP_ROUNDS / 2 ** cost);
    const measured: SignIns = { signIns: [], hashes: [] };
    for (let turn = 1; turn <= rounds; turn++) {
      progress(`sign-ins of cost ${cost}, throttles ${isThrottled ? 'on' : 'off'}: round ${turn} of ${rounds}`);
      measured.hashes.push(await hash(cost, seconds));
      measured.signIns.push(await ledger.measure(service, { ...load, seconds }));
    }
    progress('');
    return measured;
  } finally {
    await stage.stop();
  }
}

/** What this process hashes, and the CPU of a hash. */
async function hash(cost: number, seconds: number): Promise<SignIns['hashes'][number]> {
  const stored = await bcrypt.hash(PASSWORD, cost);
  const before = process.cpuUsage();
  let hashes = 0;
  const perSecond = await peak(
    async () => {
      await bcrypt.compare(PASSWORD, stored);
      hashes++;
    },
    IN_FLIGHT,
    seconds,
  );
  const { user, system } = process.cpuUsage(before);
  return { perSecond, cpuMs: (user + system) / 1000 / hashes };
}

/** The rate of sign-ins beside that of hashes. */
export function rateRow({ signIns, hashes }: SignIns, what: string, promise: string): Row {
  const reference = median(hashes.map(({ perSecond }) => perSecond));
  return {
    what,
    measured: round(median(signIns.map(({ perSecond }) => perSecond)), 1),
    reference: `raw bcrypt ${round(reference, 1)}`,
    ratio: round(median(signIns.map(({ perSecond }, i) => perSecond / (hashes[i]?.perSecond as number))), 3),
    promise,
  };
}

/**
 * The CPU of a sign-in beside its hash: of PostgreSQL, and of the service's threads at normal priority. Those that hash run at a
 * lower one. The reference tells what these took, and what the raw hash took in the same rounds: a difference would be work that hides there.
 */
export function besideRow({ signIns, hashes }: SignIns, what: string, promise: string): Row {
  if (!HAS_LEDGER) return { what, measured: 'this system has no ledger', promise: '' };
  const of = (value: (cpu: NonNullable<Cost['cpu']>) => number) =>
    median(signIns.map(({ cpu }) => (cpu ? value(cpu) : Number.NaN)));
  const hashing = of(({ threads }) => threads.low);
  if (hashing === 0) return { what, measured: 'hash threads are not told apart under nice', promise: '' };
  const raw = round(median(hashes.map(({ cpuMs }) => cpuMs)), 1);
  return {
    what,
    measured: round(
      of(({ threads, postgres }) => threads.normal + postgres),
      2,
    ),
    reference: `hash threads ${round(hashing, 1)}, raw hash ${raw}`,
    promise,
  };
}

export const describeSignIns = ({ signIns }: SignIns) => describeCosts(signIns);
