import type { Server } from '../processes.js';
import { never, type Part, percentile, progress, type Row, round } from '../report.js';
import { setStage } from '../stage.js';
import { call, sleep, waitUntil } from './calls.js';
import { type Fault, findLeader, type HaDatabase, type Node } from './ha/database.js';
import { type Kind, type Load, startLoad, type Tally } from './ha/load.js';
import { startPair } from './ha/pair.js';
import { missingPackages, startPatroni } from './ha/patroni.js';
import { checkSignUps, timesOf } from './sign-ups.js';

const REPLICAS = 2;
const ROUNDS = 3;
const CALM_MS = 2000;
const RESUMES_WITHIN_S = 5;
const GIVE_UP_MS = 60_000;
const SETTINGS = {
  // Nobody who is checked has to sign in again during the run.
  ACCESS_TOKEN_TTL_S: '86400',
};

/** How long things took, in ms. */
type Times = { toPromotion: number; toSignUp: number; toWhole: number };

/** The leader of a highly available database dies, hands over and freezes, while people sign up, refresh and are checked. */
export const ha: Part = async ({ quick = false, rounds = quick ? 1 : ROUNDS, 'without-patroni': isForced = false }) => {
  const missing = await missingPackages();
  progress('starting the database');
  const database = isForced || missing.length > 0 ? await startPair() : await startPatroni();
  const stage = await setStage(SETTINGS, database);
  let load: Load | undefined;
  try {
    const servers = await Promise.all(Array.from({ length: REPLICAS }, () => stage.start()));
    load = await startLoad(servers.map(({ url }) => url));
    const times: Record<string, Times[]> = {};
    for (let i = 1; i <= rounds; i++) {
      for (const [name, fault] of Object.entries(database.faults)) {
        progress(`${name}, round ${i} of ${rounds}; ${load.signUps.acknowledged.length} signed up`);
        times[name] = [...(times[name] ?? []), await befall(database, fault, load)];
      }
    }
    progress('checking every sign-up');
    await load.end();
    const leader = await leaderOf(database);
    const server = servers[0] as Server;
    return {
      title: `High availability: ${REPLICAS} replicas of the service on ${database.title}`,
      rows: [
        ...(missing.length > 0
          ? [{ what: 'Patroni is not used: not installed', measured: missing.join(', '), promise: '' }]
          : []),
        ...Object.entries(times).flatMap(([name, ofRounds]) => timeRows(name, ofRounds)),
        ...(await checkSignUps(leader.url, server.url, load.signUps)),
        ...(await sessionRows(server, load)),
        ...answerRows(load),
        never('replicas that ended', countEnded(servers)),
      ],
      details: Object.fromEntries(Object.entries(load.tallies).map(([kind, tally]) => [kind, summaryOf(tally)])),
      evidence: [...Object.values(load.tallies).flatMap(({ wrong }) => wrong), ...load.signedOut].slice(0, 30),
    };
  } finally {
    // Also when it fails: others may run after this.
    void load?.end();
    await stage.stop();
  }
};

/** One fault, from a whole database to a whole one. */
async function befall(database: HaDatabase, fault: Fault, load: Load): Promise<Times> {
  const leader = await leaderOf(database);
  await sleep(CALM_MS);
  const begin = performance.now();
  const resumption = async () => {
    await waitUntil('Another server leads', async () => (await findLeader(database.nodes, leader)) !== undefined);
    const promotedAt = performance.now();
    return { promotedAt, signedUpAt: await Promise.race([load.signUps.nextAcknowledged(), giveUp()]) };
  };
  const [{ promotedAt, signedUpAt }] = await Promise.all([resumption(), fault.inject(leader)]);
  const { lastsS = 0 } = fault;
  await sleep(Math.max(0, begin + lastsS * 1000 - performance.now()));
  const endedAt = performance.now();
  await fault.repair(leader);
  await database.becomeWhole();
  return {
    toPromotion: promotedAt - begin,
    toSignUp: signedUpAt - promotedAt,
    toWhole: performance.now() - endedAt,
  };
}

async function giveUp(): Promise<never> {
  await sleep(GIVE_UP_MS);
  throw new Error(`Another server leads, and no sign-up succeeds in ${GIVE_UP_MS / 1000} s.`);
}

async function leaderOf({ nodes }: HaDatabase): Promise<Node> {
  const leader = await findLeader(nodes);
  if (!leader) throw new Error('None of the servers leads.');
  return leader;
}

function timeRows(name: string, times: Times[]): Row[] {
  const row = (what: string, key: keyof Times, promise?: string) => {
    return timesOf(
      `${name}: ${what}`,
      times.map(one => one[key]),
      promise,
    );
  };
  const isLate = times.some(({ toSignUp }) => toSignUp > RESUMES_WITHIN_S * 1000);
  return [
    row('until another one leads', 'toPromotion'),
    { ...row('from then to a sign-up', 'toSignUp', `≤ ${RESUMES_WITHIN_S}`), broken: isLate },
    row('until all are back', 'toWhole'),
  ];
}

/** The sessions of those who stayed signed in. */
async function sessionRows({ url }: Server, load: Load): Promise<Row[]> {
  const tokens = load.refreshTokens();
  const answers = await Promise.all(
    tokens.map(refreshToken => call(`${url}/auth/refresh`, { body: { refreshToken } })),
  );
  const refused = answers.filter(({ status }) => status !== 200).length;
  return [
    {
      ...never('refresh tokens that were given last and are refused', refused, `${tokens.length} sessions`),
      broken: refused > 0 || tokens.length === 0,
    },
    never(
      'sessions that ended under their owner',
      load.signedOut.length,
      `${load.tallies.refresh.times.length} refreshes`,
    ),
  ];
}

function answerRows({ tallies }: Load): Row[] {
  const row = (what: string, kinds: Kind[]): Row => {
    const chosen = kinds.map(kind => tallies[kind]);
    const count = chosen.reduce((sum, { times }) => sum + times.length, 0);
    return never(what, chosen.flatMap(({ wrong }) => wrong).length, `${count} calls`);
  };
  return [
    row('/auth/verify and /livez: answers other than 200', ['verify', 'livez']),
    row('the others: errors other than 503 with Retry-After', ['sign-up', 'sign-in', 'refresh', 'readyz']),
  ];
}

const countEnded = (servers: Server[]): number =>
  servers.filter(({ child }) => child.exitCode !== null || child.signalCode !== null).length;

function summaryOf({ times, unavailable, wrong }: Tally): Record<string, number> {
  return {
    calls: times.length,
    'told to try again': unavailable,
    'other errors': wrong.length,
    'p50, ms': round(percentile(times, 50), 1),
    'p99, ms': round(percentile(times, 99), 1),
    'longest, ms': round(percentile(times, 100)),
  };
}
