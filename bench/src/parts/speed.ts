// Measures what the service promises, each figure by ratio to a reference in the same run.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { createAuthClient } from '@latchkey/auth-client';
import autocannon from 'autocannon';
import bcrypt from 'bcrypt';
import { startServer } from './processes.js';

const HELP = `Usage: pnpm bench [--cost N] [--seconds N] [--rounds N] [--json]

  --cost      bcrypt's cost (10)
  --seconds   length of a measurement (5)
  --rounds    how often measurement and reference take turns (5)
  --json      print JSON only`;

const { values } = parseArgs({
  options: {
    cost: { type: 'string', default: '10' },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const cost = Number(values.cost);
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);
// As many hashes at once as libuv's pool has threads, in the reference and in the service.
const IN_FLIGHT = 4;
const CONNECTIONS = 16;

const AUTH_SERVER = new URL('../../apps/auth-service/dist/server.js', import.meta.url);
const BARE_SERVER = new URL('./bare-server.js', import.meta.url);

const env = {
  NODE_ENV: 'production',
  HOST: '127.0.0.1',
  DATABASE_URL: process.env['TEST_DATABASE_URL'] as string,
  AUTH_SECRETS: `bench:${randomBytes(32).toString('base64')}`,
  PUBLIC_URL: 'http://auth.bench',
  BCRYPT_COST: String(cost),
  LOG_LEVEL: 'warn',
};
// Once to migrate, then as an operator restarts it.
await (await startServer(AUTH_SERVER, env)).stop();
const service = await startServer(AUTH_SERVER, env);
const bare = await startServer(BARE_SERVER, {});
await new Promise(resolve => setTimeout(resolve, 1000));
const rssMb = residentMb(service.child.pid as number);

const credentials = { username: 'bench', password: 'open sesame 42' };
const client = createAuthClient({ baseUrl: service.url });
const { token } = await client.signUp(credentials);
const hash = await bcrypt.hash(credentials.password, cost);

const hashing = await takeTurns(
  () => rate(() => client.signIn(credentials)),
  () => rate(() => bcrypt.compare(credentials.password, hash)),
);
const verifying = await takeTurns(
  () => requests(service.url),
  () => requests(bare.url),
);
await service.stop();
await bare.stop();

const report = {
  cores: availableParallelism(),
  node: process.version,
  bcryptCost: cost,
  signIn: { perSecond: hashing.measured, rawBcryptPerSecond: hashing.reference, ratio: hashing.ratio, promise: 0.97 },
  verify: { perSecond: verifying.measured, barePerSecond: verifying.reference, ratio: verifying.ratio, promise: 0.9 },
  startMs: { measured: Math.round(service.startedInMs), promise: 500 },
  idleRssMb: { measured: rssMb, promise: 90 },
};
if (values.json) {
  console.log(JSON.stringify(report, null, 2));
} else {
  console.log(
    `${report.cores} cores, Node ${report.node}, bcrypt cost ${cost}, medians of ${rounds} rounds of ${seconds} s\n`,
  );
  console.table({
    'sign-ins/s': row(hashing.measured, `raw bcrypt ${hashing.reference}`, hashing.ratio, '≥ 0.97'),
    '/auth/verify per s': row(verifying.measured, `bare route ${verifying.reference}`, verifying.ratio, '≥ 0.90'),
    'ready after, ms': row(report.startMs.measured, '', undefined, '≤ 500'),
    'idle RSS, MB': row(rssMb, '', undefined, '≤ 90'),
  });
}

function row(measured: number, reference: string, ratio: number | undefined, promise: string) {
  return { measured, reference, ratio: ratio ?? '', promise };
}

/** Runs a measurement and its reference in turns, so that both see the same machine. */
async function takeTurns(measure: () => Promise<number>, refer: () => Promise<number>) {
  const measured: number[] = [];
  const reference: number[] = [];
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`);
    reference.push(await refer());
    measured.push(await measure());
  }
  progress('');
  const ratio = median(measured.map((value, i) => value / (reference[i] as number)));
  return { measured: round(median(measured), 1), reference: round(median(reference), 1), ratio: round(ratio, 3) };
}

/** Calls per second with a fixed number in flight. */
async function rate(call: () => Promise<unknown>): Promise<number> {
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
async function requests(url: string): Promise<number> {
  const { requests, non2xx, errors } = await autocannon({
    url: `${url}/auth/verify`,
    headers: { authorization: `Bearer ${token}` },
    connections: CONNECTIONS,
    duration: seconds,
  });
  if (non2xx + errors > 0) throw new Error(`${non2xx + errors} requests to ${url} failed`);
  return requests.average;
}

function residentMb(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kilobytes) / 1000);
}

function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
