import bcrypt from 'bcrypt';
import { arrive, peak, startCrowd } from '../load.js';
import { startBetterAuth } from '../peers/better-auth.js';
import { startFlask } from '../peers/flask.js';
import { findMissing, startKeycloak } from '../peers/keycloak.js';
import { startLatchkey } from '../peers/latchkey.js';
import { type Peer, post } from '../peers/peer.js';
import { type Part, percentile, progress, type Row, round } from '../report.js';

const IN_FLIGHT = 8;
// As many sign in again and again; who is refused waits as told, or insists: comes back at once.
const CROWD = 64;
const CHECKS_PER_S = 100;
const SETTLE_MS = 1000;
const WARM_UP_S = 1;
// Nobody waits longer for a page.
const LOST_AFTER_MS = 10_000;
const PERCENTILES = [50, 99];

/** Others who hash with bcrypt, and Keycloak where it is asked for, on the same machine in the same run. */
export const peers: Part = async ({ cost = 10, seconds = 10, peer, 'keycloak-home': home }) => {
  const stops: (() => Promise<void>)[] = [];
  const onEnd = (stop: () => Promise<void>) => stops.unshift(stop);
  try {
    progress('starting the peers');
    const flask = await startFlask(cost, onEnd);
    const wantsKeycloak = peer !== undefined || home !== undefined;
    const missing = wantsKeycloak ? await findMissing(home) : undefined;
    const started = [
      await startLatchkey(cost, onEnd),
      await startBetterAuth(cost, false, onEnd),
      await startBetterAuth(cost, true, onEnd),
      ...(flask ? [flask] : []),
      ...(wantsKeycloak && !missing ? [await startKeycloak(home, onEnd)] : []),
    ];
    for (const { signIn, check, warmUpS = WARM_UP_S } of started) {
      await peak(() => signInTo(signIn), IN_FLIGHT, warmUpS);
      await arrive(check, CHECKS_PER_S, warmUpS);
    }

    // They take turns at each measure, so that all see the same machine.
    progress('sign-ins');
    const rates = await inTurn(started, async ({ signIn }) => ({
      raw: await rawRate(cost, seconds),
      measured: await peak(() => signInTo(signIn), IN_FLIGHT, seconds),
    }));
    progress('checks, idle');
    const idle = await inTurn(started, ({ check }) => arrive(check, CHECKS_PER_S, seconds));
    progress(`checks while ${CROWD} sign in`);
    const storms = await inTurn(started, async peer => {
      const patient = await storm(peer, true, seconds);
      return patient.crowd.refused.length > 0 ? [patient, await storm(peer, false, seconds)] : [patient];
    });
    progress('');

    const rows = started.flatMap(({ name, hasOwnHash = false }, i) => [
      ...idleRows(name, hasOwnHash, rates[i] as Rate, idle[i] as number[]),
      ...(storms[i] as Storm[]).flatMap(storm => stormRows(name, storm, rates[i] as Rate, idle[i] as number[])),
    ]);
    if (!flask) rows.push({ what: 'Flask', measured: 'not installed', promise: '' });
    if (!wantsKeycloak) rows.push({ what: 'Keycloak', measured: 'not asked for: --peer keycloak', promise: '' });
    if (missing) rows.push({ what: 'Keycloak', measured: `not run: ${missing} is not installed`, promise: '' });
    return { title: `Peers: bcrypt cost ${cost}, ${seconds} s each`, rows };
  } finally {
    for (const stop of stops) await stop();
  }
};

type Rate = { raw: number; measured: number };
type Storm = {
  patient: boolean;
  checks: number[];
  lost: number;
  crowd: Awaited<ReturnType<ReturnType<typeof startCrowd>>>;
};

async function storm({ signIn, check }: Peer, patient: boolean, seconds: number): Promise<Storm> {
  const endCrowd = startCrowd(signIn, CROWD, patient);
  await new Promise(resolve => setTimeout(resolve, SETTLE_MS));
  let lost = 0;
  const tryCheck = async () => {
    const before = performance.now();
    const isOk = await check().then(
      () => true,
      () => false,
    );
    if (!isOk || performance.now() - before > LOST_AFTER_MS) lost++;
  };
  const checks = await arrive(tryCheck, CHECKS_PER_S, seconds);
  return { patient, checks, lost, crowd: await endCrowd() };
}

function idleRows(name: string, hasOwnHash: boolean, { raw, measured }: Rate, idle: number[]): Row[] {
  return [
    {
      what: `${name}: sign-ins/s, ${IN_FLIGHT} in flight`,
      measured: round(measured, 1),
      ...(!hasOwnHash && { reference: `raw bcrypt ${round(raw, 1)}`, ratio: round(measured / raw, 3) }),
      promise: '',
    },
    ...PERCENTILES.map(p => ({
      what: `${name}, idle: p${p} of a check, ms`,
      measured: round(percentile(idle, p), 1),
      promise: '',
    })),
  ];
}

function stormRows(name: string, { patient, checks, lost, crowd }: Storm, { measured }: Rate, idle: number[]): Row[] {
  const place = `${name}, ${CROWD} ${patient ? 'sign in' : 'insist'}`;
  const goodput = crowd.accepted.length / crowd.seconds;
  return [
    ...PERCENTILES.map(p => ({
      what: `${place}: p${p} of a check, ms`,
      measured: round(percentile(checks, p), 1),
      reference: `idle ${round(percentile(idle, p), 1)}`,
      ratio: round(percentile(checks, p) / percentile(idle, p), 2),
      promise: '',
    })),
    {
      what: `${place}: checks lost`,
      measured: lost,
      reference: `of ${checks.length}: failed, or took longer than ${LOST_AFTER_MS / 1000} s`,
      promise: '',
    },
    {
      what: `${place}: sign-ins/s`,
      measured: round(goodput, 1),
      reference: `${crowd.refused.length} refused, ${crowd.others} failed`,
      ratio: round(goodput / measured, 3),
      promise: '',
    },
  ];
}

async function signInTo(signIn: Peer['signIn']): Promise<void> {
  await (await post(signIn)).arrayBuffer();
}

/** What the machine can hash, in a process that does nothing else. */
async function rawRate(cost: number, seconds: number): Promise<number> {
  const hash = await bcrypt.hash('open sesame 42', cost);
  return peak(() => bcrypt.compare('open sesame 42', hash), IN_FLIGHT, seconds);
}

async function inTurn<T>(peers: Peer[], measure: (peer: Peer) => Promise<T>): Promise<T[]> {
  const measured: T[] = [];
  for (const peer of peers) measured.push(await measure(peer));
  return measured;
}
