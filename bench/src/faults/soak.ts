import { readFileSync } from 'node:fs';
import { createVerifier } from '@latchkey/auth-client';
import getPort from 'get-port';
import { never, type Part, percentile, progress, type Row, round } from '../report.js';
import { AUDIENCE, ISSUER, setStage } from '../stage.js';
import { type Answer, call, describe, isUnavailable, sleep } from './calls.js';
import { withClient } from './client.js';
import { makePerson, type Person, type SignOut } from './traffic.js';

const PEOPLE = 50;
// Calls a second.
const RATES = {
  verify: 150,
  me: 30,
  refresh: 30,
  jwks: 2,
  'sign-in': 2,
  'sign-up': 1,
  'sign-out': 1,
  livez: 1,
  readyz: 1,
};
const NEEDS_HASH = new Set<string>(['sign-in', 'sign-up', 'sign-out']);
const OFFLINE_EVERY_MS = 20;
// Before it expires.
const RENEW_EVERY_MS = 300_000;
const MEASURE_EVERY_MS = 5000;
const PLACES = 15;

type Call = keyof typeof RATES;
type Times = Record<Call, number[]>;
type Measurement = { minute: number; rssMb: number; heapMb: number; connections: number };

/** Everything at a steady rate for long: memory, connections and times stay where they are. */
export const soak: Part = async ({ quick = false, minutes = quick ? 1 : 30 }) => {
  const metricsPort = await getPort({ host: '127.0.0.1' });
  const stage = await setStage({
    BCRYPT_COST: '10',
    LOG_LEVEL: 'info',
    THROTTLE_ENABLED: 'true',
    THROTTLE_SIGN_UPS: '1000000',
    METRICS_PORT: String(metricsPort),
  });
  const service = await stage.start();
  const client = await stage.newClient();
  const verifier = createVerifier({ issuer: ISSUER, audience: AUDIENCE, baseUrl: service.url, client });
  try {
    const errors: string[] = [];
    const onSignOut = ({ answer }: SignOut) => errors.push(`signed out: ${describe(answer)}`);
    const people: Person[] = [];
    for (let i = 0; i < PEOPLE; i++) people.push(await makePerson(service.url, onSignOut));

    const begun = performance.now();
    const part = () => (performance.now() - begun) / (minutes * 60_000);
    const times = { start: newTimes(), end: newTimes() };
    const made = { calls: 0, offline: 0, crowded: 0 };
    const make = async (name: Call) => {
      const person = people[made.calls++ % PEOPLE] as Person;
      const begunAt = part();
      const answer = name === 'sign-out' ? await signInAndOut(service.url, person) : await person[name]();
      if (NEEDS_HASH.has(name) && isUnavailable(answer)) made.crowded++;
      else if (answer.status < 200 || answer.status > 204) errors.push(`${name}: ${describe(answer)}`);
      const at = begunAt > 0.05 && begunAt < 0.15 ? times.start : begunAt >= 0.9 ? times.end : undefined;
      at?.[name].push(answer.ms);
    };
    let token = '';
    const renewToken = async () => {
      const answer = await (people[0] as Person)['sign-in']();
      if (answer.status === 200) ({ token } = answer.body);
    };
    await renewToken();
    const timers = [
      ...Object.entries(RATES).map(([name, rate]) => setInterval(() => make(name as Call), 1000 / rate)),
      setInterval(renewToken, RENEW_EVERY_MS),
      setInterval(async () => {
        made.offline++;
        await verifier.verify(token).catch(error => errors.push(`offline: ${error.code}`));
      }, OFFLINE_EVERY_MS),
    ];

    const measurements: Measurement[] = [];
    while (part() < 1) {
      const rounded = Math.floor(part() * minutes);
      progress(`soak: ${rounded} of ${minutes} minutes, ${made.calls} calls, ${errors.length} errors`);
      measurements.push({
        minute: part() * minutes,
        rssMb: residentMb(service.child.pid as number),
        heapMb: await heapMb(metricsPort),
        connections: await connectionsTo(stage.postgres.url),
      });
      await sleep(MEASURE_EVERY_MS);
    }
    for (const timer of timers) clearInterval(timer);
    return {
      title: `Soak: ${minutes} minutes, ${made.calls} calls`,
      rows: [
        never('errors', errors.length, `${made.calls} calls, ${made.offline} offline checks`),
        { what: 'refused for want of room for a hash', measured: made.crowded, promise: '' },
        ...memoryRows(measurements),
        ...timeRows(times.start, times.end),
      ],
      plot: plotOf(measurements),
      evidence: errors.slice(0, 20),
    };
  } finally {
    verifier.close();
    await stage.stop();
  }
};

const newTimes = () => Object.fromEntries(Object.keys(RATES).map(name => [name, [] as number[]])) as Times;

async function signInAndOut(url: string, person: Person): Promise<Answer> {
  const signedIn = await person['sign-in']();
  if (signedIn.status !== 200) return signedIn;
  return call(`${url}/auth/sign-out`, { body: {}, token: signedIn.body.token });
}

function residentMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

async function heapMb(metricsPort: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  return Number(/^nodejs_heap_size_used_bytes (\S+)/m.exec(text)?.[1]) / 1024 ** 2;
}

async function connectionsTo(databaseUrl: string): Promise<number> {
  const { rows } = await withClient(databaseUrl, client =>
    client.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
    ),
  );
  return rows[0]?.count ?? 0;
}

function memoryRows(measurements: Measurement[]): Row[] {
  // What is loaded and compiled at first is no leak.
  const settled = measurements.slice(Math.floor(measurements.length / 3));
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const half = Math.floor(settled.length / 2);
  const row = (what: string, value: (measurement: Measurement) => number): Row => {
    const perHour = slope(settled.map(measurement => [measurement.minute / 60, value(measurement)]));
    const [first, second] = [settled.slice(0, half), settled.slice(half)].map(part => round(mean(part.map(value)), 1));
    return { what, measured: round(perHour, 1), reference: `${first} MB, then ${second} MB`, promise: '' };
  };
  const connections = settled.map(measurement => measurement.connections);
  return [
    row('memory (RSS), MB/hour', ({ rssMb }) => rssMb),
    row('heap, MB/hour', ({ heapMb }) => heapMb),
    {
      what: 'connections to the database',
      measured: `${Math.min(...connections)} to ${Math.max(...connections)}`,
      promise: '',
    },
  ];
}

/** Of the line that fits best, by least squares. */
function slope(points: [x: number, y: number][]): number {
  const mean = (pick: (point: [number, number]) => number) =>
    points.reduce((sum, point) => sum + pick(point), 0) / points.length;
  const [x, y] = [mean(([x]) => x), mean(([, y]) => y)];
  return mean(point => (point[0] - x) * (point[1] - y)) / mean(point => (point[0] - x) ** 2);
}

function timeRows(start: Times, end: Times): Row[] {
  return (Object.keys(RATES) as Call[]).map(name => {
    const [before, after] = [start, end].map(times => round(percentile(times[name], 99), 1));
    return {
      what: `p99 of ${name} at the end, ms`,
      measured: after ?? '',
      reference: `at the start ${before}`,
      promise: '',
    };
  });
}

function plotOf(measurements: Measurement[]) {
  const chosen = Array.from({ length: PLACES }, (_, i) => {
    return measurements[Math.round((i * (measurements.length - 1)) / (PLACES - 1))] as Measurement;
  });
  return {
    title: 'Memory under steady load, by minute',
    unit: 'MB',
    places: chosen.map(({ minute }) => String(round(minute))),
    series: [
      { name: 'RSS', values: chosen.map(({ rssMb }) => round(rssMb)) },
      { name: 'heap in use', values: chosen.map(({ heapMb }) => round(heapMb)) },
    ],
  };
}
