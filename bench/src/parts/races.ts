import { type AuthClient, isAuthClientError } from '@latchkey/auth-client';
import { pgBouncerVersion, startPgBouncer } from '../pgbouncer.js';
import { type Part, progress, type Row } from '../report.js';
import { clientOf, forEach, type Stage, setStage, signUp } from '../stage.js';

const REPLICAS = 3;
const SESSIONS = 48;
const DEFAULT_COUNT = 10_000;

/** Refreshes that race, refreshes whose answer is lost, and tokens that were stolen, over several replicas. */
export const races: Part = async ({ count = DEFAULT_COUNT }) => {
  const stage = await setStage();
  try {
    const servers = await Promise.all(Array.from({ length: REPLICAS }, () => stage.start()));
    const clients = servers.map(clientOf) as [AuthClient, ...AuthClient[]];
    const rows = [await race(clients, count), await loseAnswers(clients, count), await steal(clients, SESSIONS)];
    return { title: `Refresh on ${REPLICAS} replicas`, rows: [...rows, ...(await raceThroughPgBouncer(stage, count))] };
  } finally {
    await stage.stop();
  }
};

/** The same through PgBouncer, whose connections take turns, and of which versions before 1.21 know no prepared statements. */
async function raceThroughPgBouncer(stage: Stage, count: number): Promise<Row[]> {
  const version = pgBouncerVersion();
  if (version === undefined) {
    return [{ what: 'races through PgBouncer', measured: 'pgbouncer is not installed', promise: '' }];
  }
  const bouncer = await startPgBouncer(stage.postgres.url);
  try {
    const servers = await Promise.all(
      Array.from({ length: REPLICAS }, () => stage.start({ DATABASE_URL: bouncer.url })),
    );
    const clients = servers.map(clientOf) as [AuthClient, ...AuthClient[]];
    const rows = [await race(clients, count), await loseAnswers(clients, count)];
    await Promise.all(servers.map(server => server.stop()));
    return rows.map(row => ({ ...row, what: `${row.what}, through PgBouncer ${version}` }));
  } finally {
    await bouncer.stop();
  }
}

/** All replicas get the same token at once; all must answer with the same next one, which must work. */
async function race(clients: [AuthClient, ...AuthClient[]], count: number): Promise<Row> {
  let forks = 0;
  let refused = 0;
  const before = performance.now();
  await inSessions(clients, count, 'races', async token => {
    const answers = await Promise.allSettled(clients.map(client => client.refresh(token)));
    const successors = new Set(
      answers.map(answer => (answer.status === 'fulfilled' ? answer.value.refreshToken : 'none')),
    );
    if (successors.has('none')) refused++;
    else if (successors.size > 1) forks++;
    const [first] = answers;
    return first?.status === 'fulfilled' ? first.value.refreshToken : undefined;
  });
  const perSecond = Math.round((count * 1000) / (performance.now() - before));
  return {
    what: 'races with more than one successor, or none',
    measured: forks + refused,
    reference: `${count} races of ${REPLICAS}, ${perSecond}/s`,
    promise: '0',
    broken: forks + refused > 0,
  };
}

/** An answer is thrown away and asked for again, of another replica. */
async function loseAnswers(clients: [AuthClient, ...AuthClient[]], count: number): Promise<Row> {
  let signOuts = 0;
  await inSessions(clients, count, 'lost answers', async (token, index) => {
    const client = (offset: number) => clients[(index + offset) % clients.length] as AuthClient;
    try {
      const lost = await client(0).refresh(token);
      const again = await client(1).refresh(token);
      if (again.refreshToken !== lost.refreshToken) signOuts++;
      return again.refreshToken;
    } catch (error) {
      if (!isAuthClientError(error)) throw error;
      signOuts++;
      return undefined;
    }
  });
  const reference = `${count} answers asked for again`;
  return { what: 'sign-outs by lost answers', measured: signOuts, reference, promise: '0', broken: signOuts > 0 };
}

/** A grandparent is presented; nobody may get anything for that session any more. */
async function steal(clients: [AuthClient, ...AuthClient[]], count: number): Promise<Row> {
  let survived = 0;
  await forEach(count, SESSIONS, async index => {
    const client = (offset: number) => clients[(index + offset) % clients.length] as AuthClient;
    const first = await signUp(client(0));
    const second = await client(1).refresh(first.refreshToken);
    const third = await client(2).refresh(second.refreshToken);
    for (const token of [first.refreshToken, second.refreshToken, third.refreshToken]) {
      const isRefused = await client(0)
        .refresh(token)
        .then(
          () => false,
          error => isAuthClientError(error) && error.code === 'invalid_refresh_token',
        );
      if (!isRefused) survived++;
    }
  });
  const reference = `${count} sessions, every token tried`;
  return { what: 'tokens that survive a theft', measured: survived, reference, promise: '0', broken: survived > 0 };
}

/** Spreads rounds over sessions; each round gets the session's refresh token and gives the next. */
async function inSessions(
  [client]: [AuthClient, ...AuthClient[]],
  count: number,
  name: string,
  play: (token: string, index: number) => Promise<string | undefined>,
): Promise<void> {
  let played = 0;
  await forEach(SESSIONS, SESSIONS, async session => {
    let token: string | undefined;
    for (let index = session; index < count; index += SESSIONS) {
      token ??= (await signUp(client)).refreshToken;
      token = await play(token, index);
      if (++played % 500 === 0) progress(`${name}: ${played} of ${count}`);
    }
  });
  progress('');
}
