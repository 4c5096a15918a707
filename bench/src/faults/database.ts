import { type Part, progress } from '../report.js';
import { setStage, startPostgres } from '../stage.js';
import { sleep } from './calls.js';
import { withClient } from './client.js';
import { databaseFaults } from './database-faults.js';
import { type Outcome, report } from './database-report.js';
import { startProxy } from './proxy.js';
import {
  DATABASE_CALLS,
  type DatabaseCall,
  makePerson,
  type Person,
  type Sample,
  type SignOut,
  startTraffic,
} from './traffic.js';

const WARM_UP_MS = 3000;
const CALM_MS = 5000;
const SETTLE_MS = 3000;
const PROBE_EVERY_MS = 100;
const GIVE_UP_MS = 30_000;
const PEOPLE = 2;

/** The database fails in every way it can; the service says so, answers what it can without it, and comes back by itself. */
export const database: Part = async ({ quick = false, seconds = quick ? 4 : 20 }) => {
  const postgres = await startPostgres({ durable: true });
  const proxy = await startProxy(Number(new URL(postgres.url).port));
  const stage = await setStage({ DATABASE_URL: proxy.urlOf(postgres.url), ACCESS_TOKEN_TTL_S: '3600' }, postgres);
  try {
    const service = await stage.start();
    const signOuts: SignOut[] = [];
    const now = { fault: 'warming up' };
    const samples = new Map<string, Sample[]>([['before', []]]);
    const newPerson = () => makePerson(service.url, signOut => signOuts.push(signOut));
    const people = await Promise.all(Array.from({ length: PEOPLE }, newPerson));
    const endTraffic = await startTraffic(people, sample => samples.get(now.fault)?.push(sample));
    await sleep(WARM_UP_MS);
    now.fault = 'before';
    await sleep(CALM_MS);

    const outcomes: Outcome[] = [];
    for (const fault of databaseFaults(postgres, proxy, service.url, seconds)) {
      progress(`database: ${fault.name}`);
      const prober = await newPerson();
      const during: Sample[] = [];
      samples.set(fault.name, during);
      now.fault = fault.name;
      const undo = await fault.begin();
      await sleep(fault.seconds * 1000);
      await undo();
      const backAfterS = await untilBack(postgres.url, prober);
      await sleep(SETTLE_MS);
      outcomes.push({ fault, during, backAfterS });
    }
    await endTraffic();
    const isAlive = service.child.exitCode === null && service.child.signalCode === null;
    const ready = await fetch(`${service.url}/readyz`);
    return report(outcomes, samples.get('before') as Sample[], signOuts, isAlive && ready.ok);
  } finally {
    await stage.stop();
    await proxy.stop();
  }
};

/** How long each kind of call takes until it succeeds again, from the moment that the database itself answers. */
async function untilBack(databaseUrl: string, prober: Person): Promise<Record<DatabaseCall, number>> {
  const deadline = performance.now() + GIVE_UP_MS;
  const answers = () =>
    withClient(databaseUrl, client => client.query('SELECT 1')).then(
      () => true,
      () => false,
    );
  while (!(await answers()) && performance.now() < deadline) await sleep(20);
  const backAt = performance.now();
  const firstSuccess = async (name: DatabaseCall): Promise<number> => {
    let at = Number.POSITIVE_INFINITY;
    const probe = async () => {
      const { status } = await prober[name]();
      if (status === 200 || status === 201) at = Math.min(at, performance.now());
    };
    // New ones all the time: those who asked before may wait for an answer that got lost.
    for (; at === Number.POSITIVE_INFINITY && performance.now() < deadline; await sleep(PROBE_EVERY_MS)) void probe();
    return (at - backAt) / 1000;
  };
  const times = await Promise.all(DATABASE_CALLS.map(firstSuccess));
  return Object.fromEntries(DATABASE_CALLS.map((name, i) => [name, times[i]])) as Record<DatabaseCall, number>;
}
