import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createVerifier } from '@latchkey/auth-client';
import autocannon from 'autocannon';
import bcrypt from 'bcrypt';
import { startServer } from '../processes.js';
import { median, type Part, progress, type Row, round } from '../report.js';
import { AUDIENCE, clientOf, ISSUER, setStage } from '../stage.js';
import { pgbenchRate, prepareRefreshes, refreshRate } from './refresh.js';

// As many hashes at once as libuv's pool has threads, in the reference and in the service.
const IN_FLIGHT = 4;
const CONNECTIONS = 16;
// That of the service; what is promised of sign-ins holds from there on.
const DEFAULT_COST = 12;

const BARE_SERVER = new URL('../bare-server.js', import.meta.url);

/** Speed, each figure beside a reference in the same run. */
export const speed: Part = async ({ cost = DEFAULT_COST, seconds = 5, rounds = 5 }) => {
  const stage = await setStage({ BCRYPT_COST: String(cost), HASH_MAX_WAIT_MS: '8000', REFRESH_GRACE_S: '300' });
  // Once to migrate, then as an operator restarts it.
  await (await stage.start()).stop();
  const service = await stage.start();
  await new Promise(resolve => setTimeout(resolve, 1000));
  const rssMb = residentMb(service.child.pid as number);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [sample] = await prepareRefreshes(stage, 1);
  const bare = await startServer(BARE_SERVER, {
    DATABASE_URL: stage.postgres.url,
    REFRESH: sample?.statement.text ?? '',
    SIGNING_KEY: privateKey.export({ format: 'pem', type: 'pkcs8' }) as string,
  });
  const verifier = createVerifier({ issuer: ISSUER, audience: AUDIENCE, baseUrl: service.url });
  try {
    const credentials = { username: 'bench', password: 'open sesame 42' };
    const client = clientOf(service);
    const { token } = await client.signUp(credentials);
    const hash = await bcrypt.hash(credentials.password, cost);

    const takeTurns = turns(rounds);
    const hashing = await takeTurns(
      'sign-ins',
      () => rate(() => client.signIn(credentials), seconds),
      () => rate(() => bcrypt.compare(credentials.password, hash), seconds),
    );
    const verifying = await takeTurns(
      'token checks',
      () => requests(service.url, token, seconds),
      () => requests(bare.url, token, seconds),
    );
    const refreshes = await prepareRefreshes(stage);
    const refreshing = await takeTurns(
      'refreshes',
      () =>
        refreshRate(
          service.url,
          refreshes.map(({ token: refreshToken }) => ({ refreshToken })),
          seconds,
        ),
      () =>
        refreshRate(
          bare.url,
          refreshes.map(({ statement }) => ({ values: statement.values.map(toJson) })),
          seconds,
        ),
    );
    const statements = await pgbenchRate(stage, await prepareRefreshes(stage), seconds);
    const offline = await offlineRate(() => verifier.verify(token), seconds);

    const rows: Row[] = [
      row('sign-ins/s', hashing, 'raw bcrypt', cost >= DEFAULT_COST ? '≥ 0.97' : ''),
      row('/auth/verify per s', verifying, 'bare route', '≥ 0.92'),
      row('refreshes/s', refreshing, 'bare route, same statement, unprepared', '≥ 2'),
      {
        what: 'the refresh statement alone, per s',
        measured: statements === undefined ? 'pgbench is not installed' : round(statements),
        promise: '',
      },
      { what: 'offline verifications/s', measured: round(offline), promise: '≥ 1000000' },
      { what: 'ready after, ms', measured: round(service.startedInMs), promise: '≤ 300' },
      { what: 'idle RSS, MB', measured: rssMb, promise: '≤ 85' },
    ];
    return { title: `Speed: bcrypt cost ${cost}, medians of ${rounds} rounds of ${seconds} s`, rows };
  } finally {
    verifier.close();
    await bare.stop();
    await stage.stop();
  }
};

type Comparison = { measured: number; reference: number; ratio: number };

function row(what: string, { measured, reference, ratio }: Comparison, beside: string, promise: string): Row {
  return {
    what,
    measured: round(measured, 1),
    reference: `${beside} ${round(reference, 1)}`,
    ratio: round(ratio, 3),
    promise,
  };
}

/** Runs a measurement and its reference in turns, so that both see the same machine. */
function turns(rounds: number) {
  return async (name: string, measure: () => Promise<number>, refer: () => Promise<number>): Promise<Comparison> => {
    const measured: number[] = [];
    const reference: number[] = [];
    for (let turn = 0; turn < rounds; turn++) {
      progress(`${name}: round ${turn + 1} of ${rounds}`);
      reference.push(await refer());
      measured.push(await measure());
    }
    progress('');
    const ratio = median(measured.map((value, i) => value / (reference[i] as number)));
    return { measured: median(measured), reference: median(reference), ratio };
  };
}

/** Calls per second with a fixed number in flight. */
async function rate(call: () => Promise<unknown>, seconds: number): Promise<number> {
  const before = performance.now();
  const end = before + seconds * 1000;
  let calls = 0;
  const worker = async () => {
    while (performance.now() < end) {
      await call();
      calls++;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return (calls * 1000) / (performance.now() - before);
}

/** Requests per second to /auth/verify, by keep-alive connections. */
async function requests(url: string, token: string, seconds: number): Promise<number> {
  const { requests, non2xx, errors } = await autocannon({
    url: `${url}/auth/verify`,
    headers: { authorization: `Bearer ${token}` },
    connections: CONNECTIONS,
    duration: seconds,
  });
  if (non2xx + errors > 0) throw new Error(`${non2xx + errors} requests to ${url} failed`);
  return requests.average;
}

/** Verifications per second, one after the other, of a token that is known already. */
async function offlineRate(verify: () => Promise<unknown>, seconds: number): Promise<number> {
  const before = performance.now();
  let calls = 0;
  for (; performance.now() < before + seconds * 1000; calls += 100) {
    for (let i = 0; i < 100; i++) await verify();
  }
  return (calls * 1000) / (performance.now() - before);
}

/** Bytes as the bare route takes them. */
function toJson(value: unknown): unknown {
  return Buffer.isBuffer(value) ? { base64: value.toString('base64') } : value;
}

function residentMb(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kilobytes) / 1000);
}
