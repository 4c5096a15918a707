import { createVerifier } from '@latchkey/auth-client';
import { startGenerator } from '../load.js';
import { type Part, progress, type Row, round } from '../report.js';
import { openLedger } from '../speed/ledger.js';
import { measureRequests } from '../speed/requests.js';
import { besideRow, describeSignIns, measureSignIns, rateRow } from '../speed/sign-ins.js';
import { AUDIENCE, clientOf, ISSUER, type Stage, setStage, signUp } from '../stage.js';

// That of the service; what is promised of the rate of sign-ins holds from there on.
const DEFAULT_COST = 12;
// What a sign-in takes beside its hash would drown in a longer one.
const CHEAP_COST = 10;

/** Speed, each figure beside a reference in the same run. */
export const speed: Part = async ({ cost = DEFAULT_COST, seconds = 5, rounds = 5 }) => {
  const generator = startGenerator();
  try {
    const measure = (cost: number, isThrottled: boolean) =>
      measureSignIns(generator, { cost, isThrottled, seconds, rounds });
    const signIns = await measure(cost, true);
    const plain = await measure(CHEAP_COST, false);
    const throttled = await measure(CHEAP_COST, true);

    const stage = await setStage({ BCRYPT_COST: String(CHEAP_COST), HASH_MAX_WAIT_MS: '8000' });
    try {
      const ledger = await openLedger(stage.postgres.url, generator);
      const requests = await measureRequests(stage, ledger, { seconds, rounds });
      const rows: Row[] = [
        rateRow(signIns, `sign-ins/s at cost ${cost}, throttles on`, cost >= DEFAULT_COST ? '≥ 0.97' : ''),
        besideRow(plain, `CPU beside the hash at cost ${CHEAP_COST}, ms`, '≤ 2.7'),
        besideRow(throttled, `CPU beside the hash at cost ${CHEAP_COST}, throttles on, ms`, '≤ 4'),
        ...requests.rows,
        { what: 'offline verifications/s', measured: round(await offlineRate(stage, seconds)), promise: '≥ 1000000' },
      ];
      const details = {
        [`sign-in, cost ${CHEAP_COST}`]: describeSignIns(plain),
        [`sign-in, cost ${CHEAP_COST}, throttles on`]: describeSignIns(throttled),
        ...requests.details,
      };
      return { title: `Speed: medians of ${rounds} rounds of ${seconds} s`, rows, details };
    } finally {
      await stage.stop();
    }
  } finally {
    generator.stop();
  }
};

/** Verifications per second, one after the other, of a token that is known already. */
async function offlineRate(stage: Stage, seconds: number): Promise<number> {
  progress('offline verifications');
  const service = await stage.start();
  const verifier = createVerifier({ issuer: ISSUER, audience: AUDIENCE, baseUrl: service.url });
  try {
    const { token } = await signUp(clientOf(service));
    const before = performance.now();
    let calls = 0;
    for (; performance.now() < before + seconds * 1000; calls += 100) {
      for (let i = 0; i < 100; i++) await verifier.verify(token);
    }
    progress('');
    return (calls * 1000) / (performance.now() - before);
  } finally {
    verifier.close();
    await service.stop();
  }
}
