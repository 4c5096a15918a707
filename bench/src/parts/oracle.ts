import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import bcrypt from 'bcrypt';
import pg from 'pg';
import { type Part, progress, type Row, round } from '../report.js';
import { clientOf, setStage } from '../stage.js';

const DEFAULT_COUNT = 2000;
const COST = 7;
const OLD_COST = 5;
const Z_95 = 1.96;

/**
 * Whether the time of a response tells what the caller is not to know: what is wrong with a sign-in, whether an account has a second
 * factor, and whether it has an address. One after the other, in random order, so that whatever else the machine does falls on all alike.
 */
export const oracle: Part = async ({ count = DEFAULT_COUNT }) => {
  const rows = [...(await refusedSignIns(count)), ...(await addresses(count))];
  return { title: `Timing of responses: bcrypt cost ${COST}, older cost ${OLD_COST}`, rows };
};

async function refusedSignIns(count: number): Promise<Row[]> {
  const stage = await setStage({ BCRYPT_COST: String(COST), THROTTLE_ENABLED: 'false', LOG_LEVEL: 'fatal' });
  const database = new pg.Client(stage.postgres.url);
  try {
    const client = clientOf(await stage.start());
    await database.connect();
    const password = 'open sesame 42';
    for (const username of ['wrong', 'disabled', 'passwordless', 'older-cost', 'second-factor'])
      await client.signUp({ username, password });
    await database.query(`UPDATE auth.users SET disabled_at = now() WHERE username = 'disabled'`);
    await database.query(`UPDATE auth.users SET password_hash = NULL WHERE username = 'passwordless'`);
    const older = await bcrypt.hash(password, OLD_COST);
    await database.query(`UPDATE auth.users SET password_hash = $1 WHERE username = 'older-cost'`, [older]);

    await database.query(
      `INSERT INTO auth.totp (account_id, secret, secret_id, confirmed_at)
       SELECT id, '', 'bench', now() FROM auth.users WHERE username = 'second-factor'`,
    );

    const kinds = ['unknown', 'wrong', 'disabled', 'passwordless', 'older-cost', 'second-factor'];
    const times = await measure('sign-ins', kinds, count, username =>
      client.signIn({ username, password: 'not the password' }).catch(() => undefined),
    );
    return [
      ...kinds.slice(1).map(kind => rowOf(`AUC of a sign-in: unknown against ${kind}`, times, 'unknown', kind)),
      rowOf('AUC of a wrong password: without against with a second factor', times, 'wrong', 'second-factor'),
    ];
  } finally {
    await database.end();
    await stage.stop();
  }
}

/** Requests for a reset, and sign-ups with SIGN_UP=email. Mails go to the development mailbox, at once, as to a quick mail server. */
async function addresses(count: number): Promise<Row[]> {
  const dataDir = await mkdtemp(join(tmpdir(), 'latchkey-oracle-'));
  const stage = await setStage({
    ...{ NODE_ENV: 'development', DATA_DIR: dataDir, PUBLIC_URL: 'http://localhost' },
    ...{ BCRYPT_COST: String(COST), THROTTLE_ENABLED: 'false', LOG_LEVEL: 'fatal' },
  });
  const database = new pg.Client(stage.postgres.url);
  try {
    const client = clientOf(await stage.start());
    const silent = clientOf(await stage.start({ SIGN_UP: 'email' }));
    await database.connect();
    const password = 'open sesame 42';
    const { user } = await client.signUp({ username: 'known', password });
    await database.query(`UPDATE auth.users SET email = 'known@example.com'`);
    await database.query(
      `INSERT INTO auth.identifiers (name, kind, user_id) VALUES ('known@example.com', 'email', $1)`,
      [user.id],
    );
    const kinds = ['known', 'unknown'];
    const forgot = await measure('requests for a reset', kinds, count, kind =>
      client.requestPasswordReset({ email: `${kind}@example.com` }),
    );
    const signUps = await measure('sign-ups by mail', kinds, count, kind =>
      silent.requestSignUp({ username: 'somebody', password, email: `${kind}@example.com` }),
    );
    return [
      rowOf('AUC of a request for a reset: unknown against known address', forgot, 'unknown', 'known'),
      rowOf('AUC of a sign-up by mail: unknown against known address', signUps, 'unknown', 'known'),
    ];
  } finally {
    await database.end();
    await stage.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

type Times = Map<string, number[]>;

/** Measures requests of several kinds, in random order. */
async function measure(
  what: string,
  kinds: string[],
  count: number,
  request: (kind: string) => Promise<unknown>,
): Promise<Times> {
  const times: Times = new Map(kinds.map(kind => [kind, []]));
  const turns = kinds.flatMap(kind => Array.from({ length: count }, () => kind));
  shuffle(turns);
  for (const [i, kind] of turns.entries()) {
    const before = performance.now();
    await request(kind);
    times.get(kind)?.push(performance.now() - before);
    if (i % 100 === 0) progress(`${what}: ${i} of ${turns.length}`);
  }
  progress('');
  return times;
}

function rowOf(what: string, times: Times, one: string, other: string): Row {
  const samples = times.get(one) as number[];
  const { auc, margin } = compare(samples, times.get(other) as number[]);
  return {
    what,
    measured: round(auc, 3),
    reference: `95 %: ${round(auc - margin, 3)} to ${round(auc + margin, 3)}, ${samples.length} each`,
    promise: '0.47 to 0.53',
  };
}

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
