import getPort from 'get-port';
import { type Part, progress } from '../report.js';
import { setStage, startPostgres } from '../stage.js';
import { sleep } from './calls.js';
import { crash } from './postgres-processes.js';
import { checkSignUps, startSignUps, timesOf } from './sign-ups.js';

const PEOPLE = 8;
const LONGEST_WAIT_MS = 400;

/** The service, and then its database, are killed again and again while people sign up. */
export const kill: Part = async ({ quick = false, count = quick ? 8 : 200 }) => {
  const postgres = await startPostgres({ durable: true });
  const stage = await setStage({ PORT: String(await getPort({ host: '127.0.0.1' })) }, postgres);
  try {
    let service = await stage.start();
    const { url } = service;
    const signUps = startSignUps([url], PEOPLE);
    const servicesDown: number[] = [];
    const databasesDown: number[] = [];

    for (let kills = 1; kills <= count; kills++) {
      progress(`kill -9 of the service: ${kills} of ${count}, ${signUps.acknowledged.length} signed up`);
      await sleep(Math.random() * LONGEST_WAIT_MS);
      service.child.kill('SIGKILL');
      const killedAt = performance.now();
      const acknowledged = signUps.nextAcknowledged();
      await service.exited;
      service = await stage.start();
      servicesDown.push((await acknowledged) - killedAt);
    }

    const databaseKills = Math.ceil(count / 4);
    for (let kills = 1; kills <= databaseKills; kills++) {
      progress(`kill -9 of PostgreSQL: ${kills} of ${databaseKills}, ${signUps.acknowledged.length} signed up`);
      await sleep(Math.random() * LONGEST_WAIT_MS);
      await crash(postgres);
      await sleep(Math.random() * LONGEST_WAIT_MS);
      await postgres.start();
      const backAt = performance.now();
      databasesDown.push((await signUps.nextAcknowledged()) - backAt);
    }
    const survived = service.child.exitCode === null && service.child.signalCode === null;

    progress('checking every sign-up');
    await signUps.end();
    const rows = await checkSignUps(postgres.url, url, signUps);
    return {
      title: `kill -9: the service ${count} times, PostgreSQL ${databaseKills} times, under sign-ups`,
      rows: [
        ...rows,
        {
          what: 'the service lives on without its database',
          measured: survived ? 'yes' : 'no',
          promise: 'yes',
          broken: !survived,
        },
        timesOf('from the kill of the service to a sign-up', servicesDown),
        timesOf('from PostgreSQL answering again to a sign-up', databasesDown, '≤ 2'),
      ],
      evidence: signUps.refused.slice(0, 20),
    };
  } finally {
    await stage.stop();
  }
};
