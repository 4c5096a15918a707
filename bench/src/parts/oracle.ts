import { randomInt } from 'node:crypto';
import bcrypt from 'bcrypt';
import pg from 'pg';
import { type Part, progress, round } from '../report.js';
import { clientOf, setStage } from '../stage.js';

const DEFAULT_COUNT = 2000;
const COST = 7;
const OLD_COST = 5;
const Z_95 = 1.96;

/**
 * Whether the time of an answer tells what is wrong with a sign-in. One after the other, in random order, so that whatever
 * else the machine does falls on all alike.
 */
export const oracle: Part = async ({ count = DEFAULT_COUNT }) => {
  const stage = await setStage({ BCRYPT_COST: String(COST), THROTTLE_ENABLED: 'false', LOG_LEVEL: 'fatal' });
  const database = new pg.Client(stage.postgres.url);
  try {
    const service = await stage.start();
    const client = clientOf(service);
    await database.connect();
    const password = 'open sesame 42';
    for (const username of ['wrong', 'disabled', 'passwordless', 'older-cost'])
      await client.signUp({ username, password });
    await database.query(`UPDATE auth.users SET disabled_at = now() WHERE username = 'disabled'`);
    await database.query(`UPDATE auth.users SET password_hash = NULL WHERE username = 'passwordless'`);
    const older = await bcrypt.hash(password, OLD_COST);
    await database.query(`UPDATE auth.users SET password_hash = $1 WHERE username = 'older-cost'`, [older]);

    const kinds = ['unknown', 'wrong', 'disabled', 'passwordless', 'older-cost'];
    const times = new Map(kinds.map(kind => [kind, [] as number[]]));
    const turns = kinds.flatMap(kind => Array.from({ length: count }, () => kind));
    shuffle(turns);
    for (const [i, username] of turns.entries()) {
      const before = performance.now();
      await client.signIn({ username, password: 'not the password' }).catch(() => undefined);
      times.get(username)?.push(performance.now() - before);
      if (i % 100 === 0) progress(`sign-ins: ${i} of ${turns.length}`);
    }
    progress('');
    const unknown = times.get('unknown') as number[];
    const rows = kinds.slice(1).map(kind => {
      const { auc, margin } = compare(unknown, times.get(kind) as number[]);
      return {
        what: `AUC of unknown against ${kind}`,
        measured: round(auc, 3),
        reference: `95 %: ${round(auc - margin, 3)} to ${round(auc + margin, 3)}, ${count} each`,
        promise: '0.47 to 0.53',
      };
    });
    return { title: `Timing of refused sign-ins: bcrypt cost ${COST}, older cost ${OLD_COST}`, rows };
  } finally {
    await database.end();
    await stage.stop();
  }
};

/** How often a time of `b` is longer than one of `a`: the area under the ROC curve, with the margin of Hanley and McNeil. */
function compare(a: number[], b: number[]): { auc: number; margin: number } {
  const all = [...a.map(time => ({ time, isB: false })), ...b.map(time => ({ time, isB: true }))];
  all.sort((x, y) => x.time - y.time);
  const rankSum = all.reduce((sum, { isB }, i) => (isB ? sum + i + 1 : sum), 0);
  const [m, n] = [a.length, b.length];
  const auc = (rankSum - (n * (n + 1)) / 2) / (m * n);
  const q1 = auc / (2 - auc);
  const q2 = (2 * auc * auc) / (1 + auc);
  const variance = (auc * (1 - auc) + (n - 1) * (q1 - auc * auc) + (m - 1) * (q2 - auc * auc)) / (m * n);
  return { auc, margin: Z_95 * Math.sqrt(variance) };
}

function shuffle(values: string[]): void {
  for (let i = values.length - 1; i > 0; i--) {
    const j = randomInt(i + 1);
    [values[i], values[j]] = [values[j] as string, values[i] as string];
  }
}
