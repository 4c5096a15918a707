import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { type Server, startServer } from '../processes.js';
import { refreshTokenKey } from '../refresh-tokens.js';
import { median, progress, type Row, round } from '../report.js';
import { clientOf, forEach, type Stage, signUp } from '../stage.js';
import { type Cost, costOf, describeCosts, type Ledger } from './ledger.js';
import { recordRefreshStatement } from './refresh-statement.js';

const CONNECTIONS = 16;
const SIGN_UPS_AT_ONCE = 4;
const WARM_UP = 10_000;
const SETTLE_MS = 1000;
const UNIT = 1000;

const BARE_SERVER = new URL('../bare-server.js', import.meta.url);

/** What is measured in each round, in turns. The paths of the bare server are those of `bare-server.ts`. */
const MEASURES = {
  'bare route, verify': { of: 'bare', path: '/auth/verify' },
  '/auth/verify': { of: 'service', path: '/auth/verify' },
  'bare route, unprepared': { of: 'bare', path: '/auth/refresh' },
  'bare route, prepared': { of: 'bare', path: '/auth/refresh/prepared' },
  '/auth/refresh': { of: 'service', path: '/auth/refresh' },
} as const;
type Measure = keyof typeof MEASURES;

type Session = { refreshToken: string };

/** Token checks and refreshes beside bare routes, and starts. Each round is a process of the service, and one of the bare server. */
export async function measureRequests(
  stage: Stage,
  ledger: Ledger,
  { seconds, rounds }: Record<'seconds' | 'rounds', number>,
) {
  const key = refreshTokenKey(stage.env['AUTH_SECRETS'] as string);
  // Migrates, and then restarts as an operator does.
  const statement = await recordRefreshStatement(stage, key);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const bareEnv = {
    DATABASE_URL: stage.postgres.url,
    REFRESH: JSON.stringify(statement),
    AUTH_SECRETS: stage.env['AUTH_SECRETS'] as string,
    SIGNING_KEY: privateKey.export({ format: 'pem', type: 'pkcs8' }) as string,
  };
  let sessions: object[] = await signUpAll(stage);
  const costs = Object.fromEntries(Object.keys(MEASURES).map(name => [name, []])) as unknown as Record<Measure, Cost[]>;
  const starts: { ms: number; rssMb: number }[] = [];

  for (let turn = 1; turn <= rounds; turn++) {
    progress(`round ${turn} of ${rounds}: start`);
    const service = await stage.start();
    await setTimeout(SETTLE_MS);
    starts.push({ ms: service.startedInMs, rssMb: residentMb(service) });
    const bare = await startServer(BARE_SERVER, bareEnv, stage.adopt);
    const { token, refreshToken } = await clientOf(service).refresh((sessions[0] as Session).refreshToken);
    sessions[0] = { refreshToken };
    for (const [name, { of, path }] of Object.entries(MEASURES)) {
      progress(`round ${turn} of ${rounds}: ${name}`);
      const server = of === 'bare' ? bare : service;
      const isVerify = path === '/auth/verify';
      // Each connection refreshes its session with the token of the last response.
      const load = isVerify
        ? { headers: { authorization: `Bearer ${token}` } }
        : { bodies: sessions, follows: 'refreshToken' };
      const bodies = await ledger.warmUp(server, { path, connections: CONNECTIONS, ...load }, WARM_UP);
      const latest = isVerify ? {} : { bodies };
      const cost = await ledger.measure(server, { path, connections: CONNECTIONS, ...load, ...latest, seconds });
      if (!isVerify) sessions = cost.bodies;
      costs[name as Measure].push(cost);
    }
    await Promise.all([service.stop(), bare.stop()]);
  }
  progress('');
  return { rows: rowsOf(costs, starts), details: mapValues(costs, describeCosts) };
}

function rowsOf(costs: Record<Measure, Cost[]>, starts: { ms: number; rssMb: number }[]): Row[] {
  const hasLedger = costs['/auth/verify'].every(({ cpu }) => cpu !== undefined);
  const compare = (what: string, name: Measure, bare: Measure, withPostgres: boolean, promise: string): Row => {
    const [ours, theirs] = [name, bare].map(measure => costs[measure].map(cost => costOf(cost, withPostgres))) as [
      number[],
      number[],
    ];
    return {
      what: `${what}: ${hasLedger ? 'CPU' : 'no ledger here: time'} of a request, µs`,
      measured: round(UNIT * median(ours), 1),
      reference: `${bare}: ${round(UNIT * median(theirs), 1)}`,
      ratio: round(median(theirs.map((value, i) => value / (ours[i] as number))), 3),
      promise,
    };
  };
  return [
    compare('/auth/verify', '/auth/verify', 'bare route, verify', false, '≥ 0.92'),
    compare('refresh and PostgreSQL, beside unprepared', '/auth/refresh', 'bare route, unprepared', true, '≥ 2'),
    compare('refresh and PostgreSQL, beside prepared', '/auth/refresh', 'bare route, prepared', true, '≥ 0.80'),
    { what: 'ready after, ms', measured: round(median(starts.map(({ ms }) => ms))), promise: '≤ 300' },
    { what: 'idle RSS, MB', measured: round(median(starts.map(({ rssMb }) => rssMb))), promise: '≤ 85' },
  ];
}

/** As many sessions as connections, by their refresh tokens. */
async function signUpAll(stage: Stage): Promise<Session[]> {
  const service = await stage.start();
  const sessions: Session[] = [];
  await forEach(CONNECTIONS, SIGN_UPS_AT_ONCE, async () => {
    const { refreshToken } = await signUp(clientOf(service));
    sessions.push({ refreshToken });
  });
  await service.stop();
  return sessions;
}

/** Not a number where there is no /proc. */
function residentMb({ child }: Server): number {
  const path = `/proc/${child.pid}/status`;
  if (!existsSync(path)) return Number.NaN;
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(path, 'utf8'))?.[1]) / 1000;
}

function mapValues<Key extends string, In, Out>(record: Record<Key, In>, map: (value: In) => Out): Record<Key, Out> {
  return Object.fromEntries(Object.entries<In>(record).map(([key, value]) => [key, map(value)])) as Record<Key, Out>;
}
