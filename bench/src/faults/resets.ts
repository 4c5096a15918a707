import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createAuthClient } from '@latchkey/auth-client';
import getPort from 'get-port';
import { type Server, startServer } from '../processes.js';
import { never, type Part, progress, type Row, round } from '../report.js';
import { forEach, ISSUER, type Stage, setStage, signUp } from '../stage.js';
import { call, sleep, waitUntil } from './calls.js';
import { hasHaproxy, startHaproxy } from './haproxy.js';
import { hasNginx, startGateway } from './nginx.js';
import { authRequests, type Choose, notesRequests, type Owner } from './resets/requests.js';
import { reset, STAGES } from './resets/stages.js';

const NOTES = new URL(import.meta.resolve('@latchkey/notes-service/server'));
const AT_ONCE = 100;
const WARM_UP = 2000;
const SETTLE_MS = 3000;
const ATTEMPTS = 10;
const MAX_MORE_FILES = 20;
const MAX_MORE_MB = 100;
const ERROR = 50;
const STAGE_NAMES = Object.keys(STAGES);

type Target = { name: string; port: number; choose: Choose; share: number };
type State = { files: number; rssMb: number };

/** Connections are reset in every stage of every request, directly and at the gateways: nothing ends, and nothing is kept. */
export const resets: Part = async ({ quick = false, count = quick ? 10_000 : 100_000 }) => {
  const metricsPort = await getPort({ host: '127.0.0.1' });
  const stage = await setStage({
    ...{ BCRYPT_COST: '8', LOG_LEVEL: 'info', TRUST_PROXY: '127.0.0.1', METRICS_PORT: String(metricsPort) },
    ...{ THROTTLE_ENABLED: 'true', THROTTLE_PAIR_FAILURES: String(ATTEMPTS), THROTTLE_ACCOUNT_FAILURES: '100' },
    ...{ THROTTLE_ADDRESS_FAILURES: '1000000', THROTTLE_SIGN_UPS: '1000000' },
    ACCESS_TOKEN_TTL_S: '3600',
  });
  try {
    const errors: string[] = [];
    const collect = (child: ChildProcess) => collectErrors(child, errors);
    const auth = await stage.start({}, collect);
    const notes = await startNotes(stage, auth.url, collect);
    const owner = await makeOwner(auth.url);
    const servers = { 'auth-service': auth, 'notes-service': notes };
    const services = await makeTargets(stage, auth.url, notes.url, owner);
    const made: Record<string, Record<string, number>> = {};
    const run = async (count: number, targets: Target[]) => {
      let done = 0;
      await forEach(count, AT_ONCE, async i => {
        const { name, port, choose } = targetOf(targets, i);
        const stage = STAGE_NAMES[i % STAGE_NAMES.length] as string;
        await reset(port, STAGES[stage] as (typeof STAGES)[string], choose);
        made[stage] = { ...made[stage], [name]: (made[stage]?.[name] ?? 0) + 1 };
        if (++done % 1000 === 0) progress(`resets: ${done} of ${count}, ${errors.length} errors`);
      });
      await sleep(SETTLE_MS);
    };
    const alive = () => Object.entries(servers).map(([name, { child }]) => isAlive(name, child));
    const hasDied = () => alive().some(({ broken }) => broken);

    const attack = async (): Promise<Row[]> => {
      // What is loaded and compiled at first is not kept by anybody.
      await run(WARM_UP, services);
      if (hasDied()) return [];
      const before = Object.values(servers).map(stateOf);
      const { gateways, missing, stopGateways } = await startGateways(auth.url, notes.url, services);
      await run(count, [...services, ...gateways]);
      await stopGateways();
      if (hasDied()) return [];
      return [
        ...missing,
        never('hashes that wait or run afterwards', await countHashes(metricsPort)),
        ...(await checkAttempts(auth.url, owner)),
        ...Object.entries(servers).flatMap(([name, server], i) => compare(name, before[i] as State, stateOf(server))),
      ];
    };
    const begun = performance.now();
    const rows = await attack();
    const seconds = round((performance.now() - begun) / 1000);
    return {
      title: `Resets: ${count} connections, after ${WARM_UP} to warm up, in ${seconds} s`,
      rows: [...alive(), never('log lines of errors', errors.length), ...rows],
      details: made,
      evidence: errors.slice(0, 20),
    };
  } finally {
    await stage.stop();
  }
};

function collectErrors(child: ChildProcess, errors: string[]): void {
  if (!child.stdout) return;
  createInterface({ input: child.stdout }).on('line', line => {
    const level = Number(/"level":(\d+)/.exec(line)?.[1] ?? ERROR);
    if (level >= ERROR) errors.push(line.slice(0, 500));
  });
}

async function startNotes(stage: Stage, authUrl: string, onSpawn: (child: ChildProcess) => void): Promise<Server> {
  const { id, secret } = await stage.newClient();
  const { DATABASE_URL = '' } = stage.env;
  const env = {
    ...{ NODE_ENV: 'production', HOST: '127.0.0.1', LOG_LEVEL: 'info', DATABASE_URL },
    ...{ AUTH_URL: authUrl, AUTH_ISSUER: ISSUER, AUTH_CLIENT_ID: id, AUTH_CLIENT_SECRET: secret },
  };
  const notes = await startServer(NOTES, env, onSpawn);
  stage.adopt(notes.child);
  return notes;
}

async function makeOwner(url: string): Promise<Owner> {
  const client = createAuthClient({ baseUrl: url });
  const { user, token } = await signUp(client);
  const account = { username: user.username, password: 'open sesame 42' };
  // Of another session: a refresh token that comes again for long is taken for stolen.
  const { refreshToken } = await client.signIn(account);
  return { ...account, address: '203.0.113.7', token, refreshToken };
}

async function makeTargets(stage: Stage, authUrl: string, notesUrl: string, owner: Owner): Promise<Target[]> {
  const { body: openapi } = await call(`${authUrl}/openapi.json`);
  const credentials = await stage.newClient();
  const { access_token: token } = await createAuthClient({ baseUrl: authUrl }).serviceToken(credentials);
  const { body: feed } = await call(`${authUrl}/auth/revocations`, { token });
  return [
    {
      name: 'auth-service',
      port: portOf(authUrl),
      choose: authRequests(openapi.paths, owner, token, feed.cursor),
      share: 6,
    },
    { name: 'notes-service', port: portOf(notesUrl), choose: notesRequests(owner), share: 2 },
  ];
}

/** The gateways that are installed, as targets, and rows that name the others. */
async function startGateways(authUrl: string, notesUrl: string, [auth, notes]: Target[]) {
  const choose = () => ((Math.random() < 0.8 ? auth : notes) as Target).choose();
  const gateways: Target[] = [];
  const missing: Row[] = [];
  const stops: (() => Promise<void>)[] = [];
  const add = async (
    name: string,
    isThere: boolean,
    start: () => Promise<{ url: string; stop: () => Promise<void> }>,
  ) => {
    if (!isThere) return void missing.push({ what: `through ${name}`, measured: 'not installed', promise: '' });
    const { url, stop } = await start();
    gateways.push({ name, port: portOf(url), choose, share: 1 });
    stops.push(stop);
  };
  await add('nginx', hasNginx(), () => startGateway([authUrl], [notesUrl]));
  await add('HAProxy', hasHaproxy(), () => startHaproxy(authUrl, notesUrl));
  const stopGateways = async () => void (await Promise.all(stops.map(stop => stop())));
  return { gateways, missing, stopGateways };
}

const portOf = (url: string) => Number(new URL(url).port);

/** By turns, so many of each as its share says. */
function targetOf(targets: Target[], i: number): Target {
  const turns = targets.flatMap(target => Array.from({ length: target.share }, () => target));
  return turns[Math.floor(i / STAGE_NAMES.length) % turns.length] as Target;
}

function isAlive(name: string, { pid, exitCode, signalCode }: ChildProcess): Row {
  const lives = exitCode === null && signalCode === null;
  const measured = lives ? 'yes' : `no: ${exitCode ?? signalCode}`;
  return { what: `${name} is the same process`, measured, reference: `pid ${pid}`, promise: 'yes', broken: !lives };
}

/** What was begun by callers who went away must not count as failures: all attempts are left but one, after one failure. */
async function checkAttempts(url: string, { username, password, address }: Owner): Promise<Row[]> {
  const signIn = (password: string) => {
    const headers = { 'content-type': 'application/json', 'x-forwarded-for': address };
    return fetch(`${url}/auth/sign-in`, { method: 'POST', headers, body: JSON.stringify({ username, password }) });
  };
  const failed = await signIn('wrong');
  const left = Number(/r=(\d+)/.exec(failed.headers.get('ratelimit') ?? '')?.[1]);
  const succeeded = await signIn(password);
  return [
    {
      what: 'attempts left to the owner of the account after one failure',
      measured: left,
      reference: `status ${failed.status}`,
      promise: String(ATTEMPTS - 1),
      broken: left !== ATTEMPTS - 1,
    },
    {
      what: 'status of the owner’s sign-in afterwards',
      measured: succeeded.status,
      promise: '200',
      broken: succeeded.status !== 200,
    },
  ];
}

/** How many hashes wait or run, once those that had begun have had their time. */
async function countHashes(metricsPort: number): Promise<number> {
  let left = 0;
  const hasNone = async () => {
    const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
    const read = (name: string) => Number(new RegExp(`^latchkey_hash_lane_${name} (\\S+)`, 'm').exec(text)?.[1]);
    left = read('waiting') + read('running');
    return left === 0;
  };
  await waitUntil('no hash is left', hasNone, 10_000).catch(() => undefined);
  return left;
}

function stateOf({ child: { pid } }: Server): State {
  const rssKb = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  return { files: readdirSync(`/proc/${pid}/fd`).length, rssMb: rssKb / 1024 };
}

function compare(name: string, before: State, after: State): Row[] {
  const files = after.files - before.files;
  const mb = round(after.rssMb - before.rssMb);
  return [
    {
      what: `${name}: files and connections that are open, more than before`,
      measured: files,
      reference: `${before.files}, then ${after.files}`,
      promise: `≤ ${MAX_MORE_FILES}`,
      broken: files > MAX_MORE_FILES,
    },
    {
      what: `${name}: memory (RSS), MB more than before`,
      measured: mb,
      reference: `${round(before.rssMb)} MB, then ${round(after.rssMb)} MB`,
      promise: `≤ ${MAX_MORE_MB}`,
      broken: mb > MAX_MORE_MB,
    },
  ];
}
