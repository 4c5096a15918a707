import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import pg from 'pg';
import { type Flood, startFlood } from '../load.js';
import { type Part, percentile, progress, type Report, type Row, round } from '../report.js';
import { clientOf, type Stage, setStage } from '../stage.js';

const HOG_PER_S = 100;
const HOG_ADDRESS = '127.0.0.1';
const HONEST_ADDRESS = '127.0.0.2';
const PATIENCE_MS = 2000;
const SETTLE_MS = 1000;
const SESSIONS = 30_000;
const LISTS_AT_ONCE = 10;
const PAGE = 100;

/**
 * One account signs in with its right password, 100 times a second from one address, while a person of another account
 * and address signs in once a second; then what it costs to list the sessions of one account. The throttles are on.
 */
export const hog: Part = async ({ cost = 12, seconds = 60 }) => {
  const stage = await setStage({ BCRYPT_COST: String(cost), THROTTLE_ENABLED: 'true' });
  try {
    const { flood, times } = await signInBesideHog(stage, seconds);
    const answered = times.filter(time => time !== undefined);
    const rows: Row[] = [
      {
        what: 'honest sign-ins accepted within 2 s',
        measured: answered.filter(time => time < PATIENCE_MS).length,
        reference: `of ${times.length}, one a second`,
        promise: `≥ ${seconds}`,
      },
      {
        what: 'p99 of honest sign-ins, ms',
        measured: answered.length > 0 ? round(percentile(answered, 99)) : 'none accepted',
        reference: `${times.length - answered.length} refused`,
        promise: `< ${PATIENCE_MS}`,
      },
      {
        what: 'sign-ins/s of the hog',
        measured: round(flood.accepted.length / seconds, 1),
        reference: `${flood.accepted.length} accepted, ${flood.refused.length} refused, ${flood.others} neither`,
        promise: '',
      },
      {
        what: 'p99 of refusals to the hog, ms',
        measured: flood.refused.length > 0 ? round(percentile(flood.refused, 99), 1) : 'none',
        promise: '',
      },
      ...(await listSessions(stage)),
    ];
    return {
      title: `One account hogs sign-ins at ${HOG_PER_S}/s: bcrypt cost ${cost}, ${seconds} s`,
      rows,
    } satisfies Report;
  } finally {
    await stage.stop();
  }
};

/** How long each honest sign-in took, in ms; `undefined` where it was refused. */
async function signInBesideHog(
  stage: Stage,
  seconds: number,
): Promise<{ flood: Flood; times: (number | undefined)[] }> {
  const service = await stage.start();
  const [hogging, honest] = ['hog', 'honest'].map(username => ({ username, password: 'open sesame 42' })) as [
    object,
    object,
  ];
  for (const [credentials, from] of [
    [hogging, HOG_ADDRESS],
    [honest, HONEST_ADDRESS],
  ] as const) {
    const status = await post(`${service.url}/auth/sign-up`, credentials, from);
    if (status !== 201) throw new Error(`a sign-up was answered ${status}`);
  }
  const flooding = startFlood(`${service.url}/auth/sign-in`, hogging, HOG_PER_S, seconds + SETTLE_MS / 1000);
  await sleep(SETTLE_MS);
  const calls: Promise<number | undefined>[] = [];
  const begin = performance.now();
  for (let i = 0; i < seconds; i++) {
    await sleep(begin + i * 1000 - performance.now());
    progress(`honest sign-in ${i + 1} of ${seconds}`);
    const sentAt = performance.now();
    const call = post(`${service.url}/auth/sign-in`, honest, HONEST_ADDRESS);
    calls.push(call.then(status => (status === 200 ? performance.now() - sentAt : undefined)));
  }
  const [times, flood] = await Promise.all([Promise.all(calls), flooding]);
  await service.stop();
  return { flood, times };
}

/** Ten parallel lists of an account that has 30,000 sessions, from before there was a limit. */
async function listSessions(stage: Stage): Promise<Row[]> {
  const service = await stage.start();
  const client = clientOf(service);
  const credentials = { username: 'many', password: 'open sesame 42' };
  const { token, user } = await client.signUp(credentials);
  const database = new pg.Client(stage.postgres.url);
  await database.connect();
  await database.query(
    `INSERT INTO auth.sessions (id, user_id, salt, expires_at, ends_at, token_expires_at, user_agent, address)
     SELECT overlay(gen_random_uuid()::text PLACING '00000000-' || lpad(to_hex(n / 8), 4, '0') FROM 1 FOR 13)::uuid, $1, '', now() + interval '1 day', now() + interval '1 day', now() + interval '10 minutes',
       repeat('x', 120), '127.0.0.1' FROM generate_series(1, $2::int) AS n`,
    [user.id, SESSIONS],
  );
  await database.query('ANALYZE auth.sessions');
  await database.end();
  const rssKb = async () =>
    Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${service.child.pid}/status`, 'utf8'))?.[1]);
  const before = await rssKb();
  const began = performance.now();
  const headers = { authorization: `Bearer ${token}` };
  const lists = await Promise.all(
    Array.from({ length: LISTS_AT_ONCE }, async () => {
      const response = await fetch(`${service.url}/auth/sessions`, { headers });
      if (response.status !== 200) throw new Error(`a list was answered ${response.status}`);
      return (await response.json()) as { sessions: unknown[] };
    }),
  );
  const tookMs = performance.now() - began;
  const reference = `${LISTS_AT_ONCE} at once, ${SESSIONS} sessions`;
  const rows: Row[] = [
    {
      what: 'sessions in an answer of the list',
      measured: Math.max(...lists.map(({ sessions }) => sessions.length)),
      reference,
      promise: `≤ ${PAGE}`,
    },
    { what: 'lists: all answered after, ms', measured: round(tookMs), reference, promise: '< 1000' },
    {
      what: 'lists: growth of peak RSS, MB',
      measured: round(((await rssKb()) - before) / 1024, 1),
      reference,
      promise: '< 32',
    },
  ];
  const signedInAt = performance.now();
  await client.signIn(credentials);
  const signInMs = performance.now() - signedInAt;
  rows.push({
    what: 'its next sign-in, ms',
    measured: round(signInMs),
    reference: 'ends the 1,000 oldest',
    promise: '< 2000',
  });
  await service.stop();
  return rows;
}

/** Posts JSON from a local address; answers the status. */
function post(url: string, body: object, localAddress: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const sent = request(url, { method: 'POST', headers, localAddress, agent: false }, response => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0));
    });
    sent.once('error', reject).end(JSON.stringify(body));
  });
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, Math.max(0, ms)));
