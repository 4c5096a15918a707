import pg from 'pg';
import { median, percentile, progress, type Report, type Row, round } from '../report.js';
import { clientOf, setStage } from '../stage.js';

const SIZES = [1_000, 100_000, 1_000_000];
const COST = 4;
const SIGN_INS = 500;

/** Whether a sign-in costs the same whatever the number of accounts. A cheap hash, so that the database shows. */
export async function measureGrowth(): Promise<Report> {
  const stage = await setStage({ BCRYPT_COST: String(COST), THROTTLE_ENABLED: 'false' });
  const database = new pg.Client(stage.postgres.url);
  try {
    const service = await stage.start();
    const client = clientOf(service);
    await database.connect();
    const password = 'open sesame 42';
    // A sign-in renews a plain row; one account shows what all of them become.
    await client.signUp({ username: 'pattern', password });
    const rows: Row[] = [];
    let size = 0;
    let first: number | undefined;
    for (const next of SIZES) {
      progress(`filling up to ${next} accounts`);
      await database.query(
        `INSERT INTO auth.users (id, username, password_hash, hash_form, hash_cost, hash_secret)
         SELECT uuidv7(), 'user-' || n, password_hash, hash_form, hash_cost, hash_secret
         FROM auth.users, generate_series($1::int + 1, $2::int) AS n WHERE username = 'pattern'`,
        [size, next],
      );
      await database.query('ANALYZE auth.users');
      size = next;
      const times: number[] = [];
      for (let i = 0; i < SIGN_INS; i++) {
        const username = `user-${1 + Math.floor(Math.random() * size)}`;
        const before = performance.now();
        await client.signIn({ username, password });
        times.push(performance.now() - before);
        if (i % 50 === 0) progress(`${size} accounts: ${i} of ${SIGN_INS} sign-ins`);
      }
      first ??= median(times);
      rows.push({
        what: `${size.toLocaleString('en')} accounts: median sign-in, ms`,
        measured: round(median(times), 2),
        reference: `p99 ${round(percentile(times, 99), 1)}`,
        ratio: round(median(times) / first, 2),
        promise: '≤ 1.2',
      });
    }
    progress('');
    return { title: `Sign-in by number of accounts: bcrypt cost ${COST}`, rows };
  } finally {
    await database.end();
    await stage.stop();
  }
}
