import { randomUUID } from 'node:crypto';
import { never, type Row, round } from '../report.js';
import { forEach } from '../stage.js';
import { call, describe, sleep } from './calls.js';
import { connectTo } from './client.js';

/** A sign-up that was answered with 201. */
export type SignedUp = {
  username: string;
  userId: string;
  refreshToken: string;
  attempts: number;
  /** Whether the account was there before this attempt: the answer of an earlier one was lost. */
  wasMadeBefore: boolean;
};

/** People who sign up, one after the other, each until there is an answer. */
export type SignUps = {
  acknowledged: SignedUp[];
  /** Those who came back with their key and were told something else than 201. */
  refused: string[];
  /** How many answers said that the key was used for another account than before. */
  diverged: number;
  /** How many calls it took. */
  calls: number;
  /** Resolves with the moment of the first sign-up that begins after now and is acknowledged. */
  nextAcknowledged(): Promise<number>;
  /** Lets those who are at it finish. */
  end(): Promise<void>;
};

export const PASSWORD = 'open sesame 42';
const PAUSE_MS = 100;
const RETRY_MS = 50;
// Answers after which a client does not know whether it has an account, or is told to come back.
const COMES_BACK = new Set([0, 429, 502, 503, 504]);
const GIVE_UP_MS = 120_000;

/**
 * Signs people up, so many at a time. Each has an `Idempotency-Key` and comes back with it as long as no answer says what
 * became of it; some of those who have one ask again, as after an answer that was lost.
 */
export function startSignUps(urls: string[], people: number, ask = call): SignUps {
  let ending = false;
  let waiting: { since: number; resolve: (at: number) => void }[] = [];
  const signUps: SignUps = {
    acknowledged: [],
    refused: [],
    diverged: 0,
    calls: 0,
    nextAcknowledged: () => new Promise(resolve => waiting.push({ since: performance.now(), resolve })),
    async end() {
      ending = true;
      await working;
    },
  };

  const signUp = async (index: number) => {
    const body = { username: `user-${randomUUID()}`, password: PASSWORD };
    const headers = { 'idempotency-key': `"${randomUUID()}"` };
    const giveUp = performance.now() + GIVE_UP_MS;
    for (let attempts = 1; ; attempts++) {
      const begun = performance.now();
      const begunAt = Date.now();
      signUps.calls++;
      const url = `${urls[(index + attempts) % urls.length]}/auth/sign-up`;
      const answer = await ask(url, { body, headers });
      if (answer.status === 201) {
        const { user, refreshToken } = answer.body;
        const wasMadeBefore = attempts > 1 && Date.parse(user.createdAt) < begunAt;
        const { username } = body;
        signUps.acknowledged.push({ username, userId: user.id, refreshToken, attempts, wasMadeBefore });
        waiting = waiting.filter(({ since, resolve }) => {
          if (begun < since) return true;
          resolve(performance.now());
          return false;
        });
        if (signUps.acknowledged.length % 10 === 0) await askAgain(url, body, headers, user.id);
        return;
      }
      if (!COMES_BACK.has(answer.status) || performance.now() > giveUp) {
        signUps.refused.push(`sign-up, attempt ${attempts}: ${describe(answer)}`);
        return;
      }
      await sleep(RETRY_MS);
    }
  };
  const askAgain = async (url: string, body: object, headers: Record<string, string>, userId: string) => {
    const answer = await ask(url, { body, headers });
    if (answer.status === 201 && answer.body.user.id !== userId) signUps.diverged++;
    else if (answer.status !== 201 && !COMES_BACK.has(answer.status)) {
      signUps.refused.push(`sign-up again with the key of an acknowledged one: ${describe(answer)}`);
    }
  };
  const work = async (_: unknown, index: number) => {
    while (!ending) {
      await signUp(index);
      await sleep(PAUSE_MS);
    }
  };
  const working = Promise.all(Array.from({ length: people }, work));
  return signUps;
}

/** Looks for every acknowledged sign-up in the database and at the service, and for what should not be there. */
export async function checkSignUps(databaseUrl: string, url: string, signUps: SignUps): Promise<Row[]> {
  const { acknowledged, refused, diverged, calls } = signUps;
  const client = await connectTo(databaseUrl);
  const count = async (sql: string, ...values: unknown[]) => {
    return Number((await client.query<{ count: string }>(sql, values)).rows[0]?.count);
  };
  const names = acknowledged.map(({ username }) => username);
  const ids = acknowledged.map(({ userId }) => userId);
  const missing = await count(
    `SELECT count(*) FROM unnest($1::text[], $2::uuid[]) a (username, id)
     WHERE NOT EXISTS (SELECT FROM auth.users u WHERE u.id = a.id AND u.username = a.username)`,
    names,
    ids,
  );
  const unasked = await count('SELECT count(*) FROM auth.users WHERE NOT username = ANY ($1)', names);
  const duplicates = await count(
    'SELECT count(*) - count(DISTINCT lower(username)) AS count FROM auth.users WHERE username = ANY ($1)',
    names,
  );
  const halves = await count(
    `SELECT count(*) FROM auth.users u WHERE NOT EXISTS (SELECT FROM auth.sessions s WHERE s.user_id = u.id)
       OR (SELECT count(*) FROM auth.audit_events a WHERE a.user_id = u.id AND a.event = 'sign_up') <> 1`,
  );
  await client.end();

  const lost: string[] = [];
  await forEach(acknowledged.length, 8, async index => {
    const { username, refreshToken } = acknowledged[index] as SignedUp;
    const answers = [
      await untilTold(() => call(`${url}/auth/sign-in`, { body: { username, password: PASSWORD } })),
      await untilTold(() => call(`${url}/auth/refresh`, { body: { refreshToken } })),
    ];
    for (const answer of answers) if (answer.status !== 200) lost.push(describe(answer));
  });

  const retried = acknowledged.filter(({ attempts }) => attempts > 1).length;
  const unheard = acknowledged.filter(({ wasMadeBefore }) => wasMadeBefore).length;
  const reference = `of ${acknowledged.length}; ${retried} after retries, ${unheard} after a lost answer; ${calls} calls`;
  return [
    { ...never('acknowledged sign-ups that are lost', missing, reference), broken: missing > 0 || ids.length === 0 },
    never('cannot sign in, or refresh', lost.length, lost[0]),
    never('accounts twice, or of nobody', duplicates + unasked + diverged),
    never('accounts without session or audit event', halves),
    never('keyed retries that were refused', refused.length, refused[0]),
  ];
}

/** Asks until the answer is not that it should come back. */
async function untilTold(ask: () => ReturnType<typeof call>) {
  for (let attempt = 1; ; attempt++) {
    const answer = await ask();
    if (!COMES_BACK.has(answer.status) || attempt === 20) return answer;
    await sleep(RETRY_MS * attempt);
  }
}

/** Rows on how long something took. */
export const timesOf = (what: string, times: number[], promise = ''): Row => {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number) => round((sorted[Math.floor((sorted.length - 1) * part)] ?? Number.NaN) / 1000, 2);
  return {
    what: `${what}, longest, s`,
    measured: at(1),
    reference: `median ${at(0.5)}, ${times.length} times`,
    promise,
  };
};
