import getPort from 'get-port';
import type { Server } from '../processes.js';
import { never, type Part, percentile, progress, type Row, round } from '../report.js';
import { type Stage, setStage } from '../stage.js';
import { describe, sleep } from './calls.js';
import { hasNginx, startGateway } from './nginx.js';
import { restartUnderClients } from './restart.js';
import { DATABASE_CALLS, makePerson, type Person } from './traffic.js';

const PEOPLE = 8;
const PAUSE_MS = 10;
const CALLS = ['verify', 'jwks', ...DATABASE_CALLS] as const;

/** Replicas are restarted one after the other behind nginx, and one alone: nobody notices. */
export const rolling: Part = async ({ quick = false, count = quick ? 2 : 20 }) => {
  const stage = await setStage();
  try {
    const behind = hasNginx()
      ? await behindGateway(stage, count)
      : { rows: [{ what: 'behind nginx', measured: 'nginx is not installed', promise: '' }], evidence: [] };
    const alone = await restartUnderClients(stage, Math.ceil(count / 4));
    return {
      title: `Rolling restarts of 2 replicas under load, ${count} times`,
      rows: [...behind.rows, ...alone.rows],
      evidence: [...behind.evidence.slice(0, 15), ...alone.evidence.slice(0, 15)],
    };
  } finally {
    await stage.stop();
  }
};

type Outcome = { rows: Row[]; evidence: string[] };

async function behindGateway(stage: Stage, count: number): Promise<Outcome> {
  const ports = [String(await getPort({ host: '127.0.0.1' })), String(await getPort({ host: '127.0.0.1' }))];
  const replicas = await Promise.all(ports.map(port => stage.start({ PORT: port })));
  const gateway = await startGateway(replicas.map(({ url }) => url));
  const now = { phase: 'before' };
  const failures: string[] = [];
  const times: number[] = [];
  let isOver = false;

  const work = async (person: Person, offset: number) => {
    for (let round = offset; !isOver; round++) {
      const name = CALLS[round % CALLS.length] as (typeof CALLS)[number];
      const begun = now.phase;
      const answer = await person[name]();
      times.push(answer.ms);
      if (answer.status !== 200 && answer.status !== 201) failures.push(`${begun}: ${name}: ${describe(answer)}`);
      await sleep(PAUSE_MS);
    }
  };
  const people = await Promise.all(
    Array.from({ length: PEOPLE }, () =>
      makePerson(gateway.url, ({ answer }) => failures.push(`${now.phase}: signed out: ${describe(answer)}`)),
    ),
  );
  const working = Promise.all(people.map(work));

  const exits: (number | string)[] = [];
  const closing: number[] = [];
  for (let restarts = 1; restarts <= count; restarts++) {
    for (const [i, port] of ports.entries()) {
      progress(`rolling restart ${restarts} of ${count}: ${times.length} calls, ${failures.length} failed`);
      const old = replicas[i] as Server;
      const before = performance.now();
      now.phase = `replica ${i + 1} closes`;
      old.child.kill('SIGTERM');
      exits.push(await old.exited);
      closing.push(performance.now() - before);
      now.phase = `replica ${i + 1} is away`;
      replicas[i] = await stage.start({ PORT: port });
      now.phase = `replica ${i + 1} is back`;
      await sleep(500);
    }
  }
  isOver = true;
  await working;
  await gateway.stop();
  const badExits = exits.filter(exit => exit !== 0);
  return {
    rows: [
      never('behind nginx: failed requests', failures.length, `${times.length} requests, ${exits.length} restarts`),
      never('behind nginx: exits other than 0', badExits.length, badExits.join(' ')),
      { what: 'behind nginx: p99, ms', measured: round(percentile(times, 99), 1), promise: '' },
      { what: 'from SIGTERM to exit, median, s', measured: round(percentile(closing, 50) / 1000, 1), promise: '' },
    ],
    evidence: failures,
  };
}
