import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { type Connections, formatRequest, openConnections, sendOk } from '../connections.js';
import { arrive, type Flood, peak, startFlood, startNeighbour } from '../load.js';
import { createPasskeySignIns } from '../passkeys.js';
import { median, never, type Part, percentile, progress, type Row, round } from '../report.js';
import { clientOf, forEach, setStage, signUp } from '../stage.js';

/**
 * How sign-ins arrive, as a multiple of what the machine can hash; and what is promised of the p99 of the others, in ms. That of
 * passkeys is promised to stay below twice that without sign-ins, at 50×.
 */
const SITUATIONS = [
  { name: 'idle', factor: 0, hasNeighbour: false, promises: { verify: '', refresh: '' } },
  { name: '1×', factor: 1, hasNeighbour: false, promises: { verify: '≤ 10', refresh: '≤ 15' } },
  { name: '5×', factor: 5, hasNeighbour: false, promises: { verify: '≤ 10', refresh: '≤ 15' } },
  { name: '50×', factor: 50, hasNeighbour: false, promises: { verify: '≤ 10', refresh: '≤ 15' } },
  { name: '1×, a core busy', factor: 1, hasNeighbour: true, promises: { verify: '≤ 15', refresh: '' } },
  { name: '50×, a core busy', factor: 50, hasNeighbour: true, promises: { verify: '≤ 15', refresh: '' } },
];
type Situation = (typeof SITUATIONS)[number];
const CALLS = ['verify', 'refresh', 'passkey'] as const;
type Call = (typeof CALLS)[number];

// Two thousand of each in 40 seconds.
const CALLS_PER_S = 50;
const PASSKEYS_PER_S = 25;
const PASSKEY_ACCOUNTS = 32;
const SESSIONS = 128;
const SIGN_UPS_AT_ONCE = 4;
const IN_FLIGHT = 8;
const PEAK_S = 10;
const SETTLE_MS = 1000;
const AGAIN_MS = 50;
const PASSWORD = 'open sesame 42';

/** What happens to everybody else while sign-ins arrive at 1, 5 and 50 times what the machine can hash. */
export const storm: Part = async ({ cost = 10, seconds = 40, rounds = 5 }) => {
  const stage = await setStage({ BCRYPT_COST: String(cost), THROTTLE_ENABLED: 'false' });
  const service = await stage.start().catch(async error => {
    await stage.stop();
    throw error;
  });
  const connections = openConnections(service.url);
  try {
    const credentials = { username: 'storm', password: PASSWORD };
    await clientOf(service).signUp(credentials);
    const others = await createOthers(service.url, connections);
    const signIn = formatRequest(`${service.url}/auth/sign-in`, {}, credentials);

    const capacities: number[] = [];
    const measured = SITUATIONS.map((): Measured[] => []);
    for (let turn = 1; turn <= rounds; turn++) {
      progress(`round ${turn} of ${rounds}: capacity`);
      // What is left for sign-ins when the others' requests arrive: those take CPU in every situation.
      const peakS = Math.min(seconds, PEAK_S);
      const [capacity] = await Promise.all([
        peak(() => untilAccepted(connections, signIn), IN_FLIGHT, peakS),
        others(peakS),
      ]);
      capacities.push(capacity);
      for (const [i, situation] of SITUATIONS.entries()) {
        progress(`round ${turn} of ${rounds}: ${situation.name}`);
        const flood = (rate: number, seconds: number) =>
          startFlood(`${service.url}/auth/sign-in`, credentials, rate, seconds);
        measured[i]?.push(await measureSituation(situation, capacity, seconds, flood, others));
      }
    }
    progress('');
    const capacity: Row = {
      what: 'capacity, sign-ins/s',
      measured: round(median(capacities), 1),
      reference: `${IN_FLIGHT} in flight, beside the others' requests`,
      promise: '',
    };
    const rows = SITUATIONS.flatMap((situation, i) =>
      rowsOf(situation, measured[i] as Measured[], measured[0] as Measured[]),
    );
    const plot = {
      title: 'p99 while sign-ins arrive at a multiple of capacity',
      unit: 'ms',
      places: SITUATIONS.map(({ name }) => name),
      series: CALLS.map(call => ({
        name: call === 'passkey' ? '/auth/sign-in/passkey' : `/auth/${call}`,
        values: measured.map(times => round(p99(times, call), 1)),
      })),
    };
    const title = `Sign-in storms: bcrypt cost ${cost}, medians of ${rounds} rounds of ${seconds} s`;
    const groups: Row = { what: 'autogroups of the kernel', measured: autogroups(), promise: '' };
    return { title, rows: [groups, capacity, ...rows], plot };
  } finally {
    connections.close();
    await stage.stop();
  }
};

/** Whether Linux compares priorities within a session only: then PostgreSQL, which has one of its own, waits for the hashes. */
function autogroups(): string {
  try {
    return readFileSync('/proc/sys/kernel/sched_autogroup_enabled', 'utf8').trim() === '1' ? 'on' : 'off';
  } catch {
    return 'not known';
  }
}

async function measureSituation(
  { factor, hasNeighbour }: Situation,
  capacity: number,
  seconds: number,
  startFlood: (rate: number, seconds: number) => Promise<Flood>,
  others: (seconds: number) => Promise<Record<Call, number[]>>,
): Promise<Measured> {
  const endNeighbour = hasNeighbour ? startNeighbour() : undefined;
  try {
    const floodS = seconds + 2;
    const flooding = factor > 0 ? startFlood(capacity * factor, floodS) : undefined;
    await setTimeout(SETTLE_MS);
    const times = await others(seconds);
    const flood = await flooding;
    return { ...times, ...(flood && { flood, goodput: flood.accepted.length / floodS / capacity }) };
  } finally {
    endNeighbour?.();
  }
}

/** Signs in; after the situation before, the service may still expect hashes to take longer than they do now. */
async function untilAccepted(connections: Connections, signIn: Buffer): Promise<void> {
  for (;;) {
    const { status } = await connections.send(signIn);
    if (status === 200) return;
    if (status !== 503) throw new Error(`a sign-in was answered ${status}`);
    await setTimeout(AGAIN_MS);
  }
}

/** The times of the others' requests in ms, and what came of the sign-ins; goodput as a share of capacity. */
type Measured = Record<Call, number[]> & { flood?: Flood; goodput?: number };

/**
 * Makes what lets token checks, refreshes and sign-ins with passkeys arrive for so many seconds. A refresh sends the newest token of
 * its session.
 */
async function createOthers(url: string, connections: Connections) {
  const signInWithPasskey = await createPasskeySignIns(url, connections, PASSKEY_ACCOUNTS);
  const idle: { token: string; refreshToken: string }[] = [];
  await forEach(SESSIONS, SIGN_UPS_AT_ONCE, async () => void idle.push(await signUp(clientOf({ url }))));
  const refresh = async () => {
    const session = idle.shift();
    if (!session) throw new Error(`${SESSIONS} refreshes wait for their responses.`);
    const { refreshToken } = session;
    const { body } = await sendOk(connections, formatRequest(`${url}/auth/refresh`, {}, { refreshToken }));
    const refreshed: typeof session = JSON.parse(body.toString());
    idle.push(refreshed);
    return refreshed;
  };
  return async (seconds: number): Promise<Record<Call, number[]>> => {
    // The token of the round before may have expired.
    const { token } = await refresh();
    const check = formatRequest(`${url}/auth/verify`, { authorization: `Bearer ${token}` });
    const [verify, refreshed, passkey] = await Promise.all([
      arrive(() => sendOk(connections, check), CALLS_PER_S, seconds),
      arrive(refresh, CALLS_PER_S, seconds),
      arrive(signInWithPasskey, PASSKEYS_PER_S, seconds),
    ]);
    return { verify, refresh: refreshed, passkey };
  };
}

const p99 = (rounds: Measured[], call: Call) => median(rounds.map(times => percentile(times[call], 99)));

function rowsOf({ name, factor, hasNeighbour, promises }: Situation, rounds: Measured[], idle: Measured[]): Row[] {
  const times = CALLS.map(call => ({
    what: `${name}: p99 of ${call}, ms`,
    measured: round(p99(rounds, call), 1),
    reference: `of ${rounds[0]?.[call].length}${factor > 0 ? `; idle ${round(p99(idle, call), 1)}` : ''}`,
    ...(call !== 'passkey'
      ? { promise: promises[call] }
      : factor === 50 && !hasNeighbour
        ? { ratio: round(p99(rounds, call) / p99(idle, call), 2), promise: '< 2' }
        : { promise: '' }),
  }));
  const floods = rounds.flatMap(({ flood }) => flood ?? []);
  if (floods.length === 0) return times;
  const sum = (count: (flood: Flood) => number) => floods.reduce((total, flood) => total + count(flood), 0);
  const [accepted, refused] = [sum(flood => flood.accepted.length), sum(flood => flood.refused.length)];
  const refusals = floods.filter(flood => flood.refused.length > 0).map(flood => percentile(flood.refused, 99));
  return [
    ...times,
    {
      what: `${name}: goodput, share of capacity`,
      measured: round(median(rounds.map(({ goodput }) => goodput ?? Number.NaN)), 3),
      reference: `${accepted} accepted, ${refused} refused`,
      promise: factor > 1 && !hasNeighbour ? '≥ 0.95' : '',
    },
    {
      what: `${name}: p99 of accepted sign-ins, ms`,
      measured: round(median(floods.map(flood => percentile(flood.accepted, 99)))),
      promise: hasNeighbour ? '' : '< 2000',
    },
    {
      what: `${name}: p99 of refusals, ms`,
      measured: refusals.length > 0 ? round(median(refusals), 1) : 'none',
      promise: refusals.length > 0 && !hasNeighbour ? '≤ 20' : '',
    },
    never(
      `${name}: neither`,
      sum(flood => flood.others),
    ),
  ];
}
