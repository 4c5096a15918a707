import { randomUUID } from 'node:crypto';
import getPort from 'get-port';
import type { Server } from '../processes.js';
import { never, type Part, progress, type Row } from '../report.js';
import { type Stage, setStage, startPostgres } from '../stage.js';
import { sleep, waitUntil } from './calls.js';
import { withClient } from './client.js';
import { type Delivery, startMailServer } from './mail-server.js';
import { crash } from './postgres-processes.js';
import { timesOf } from './sign-ups.js';

const REPLICAS = 3;
const QUEUERS = 2;
const MAILS_AT_ONCE = 10;
const LONGEST_WAIT_MS = 1500;
const FAULTY_SHARE = 0.3;
const AWAY_MS = 3000;
// Longer than a lease lasts, and than the longest pause after it.
const DRAIN_WITHIN_MS = 240_000;
// How long a replica that has sent a mail may take until that is recorded, where the database is away meanwhile.
const RECORDED_WITHIN_MS = 15_000;

/** Replicas, PostgreSQL and the mail server fail while mails are queued; every mail that was queued arrives. */
export const mail: Part = async ({ quick = false, count = quick ? 10 : 100 }) => {
  const postgres = await startPostgres({ durable: true });
  const server = await startMailServer(FAULTY_SHARE);
  const url = `smtp://127.0.0.1:${server.port}`;
  const stage = await setStage({ MAIL_FROM: 'no-reply@example.com', SMTP_URL: url }, postgres);
  try {
    const killedAt = new Map<string, number>();
    const replicas = await Promise.all(Array.from({ length: REPLICAS }, () => startReplica(stage, server.port)));
    const queue = startQueue(stage);
    const kill = async (index: number) => {
      const { user, server: replica } = replicas[index] as Replica;
      replica.child.kill('SIGKILL');
      killedAt.set(user, performance.now());
      await replica.exited;
    };

    let kills = 0;
    let crashes = 0;
    for (let round = 1; round <= count; round++) {
      progress(`${round} of ${count}: ${queue.queued.size} mails queued, ${server.deliveries.length} delivered`);
      await sleep(Math.random() * LONGEST_WAIT_MS);
      if (round % 8 === 0) {
        await server.leave();
        await sleep(AWAY_MS);
        await server.comeBack();
      } else if (round % 4 === 0) {
        crashes++;
        await crash(postgres);
        await sleep(Math.random() * LONGEST_WAIT_MS);
        await postgres.start();
      } else {
        // Now and then all of them at once.
        const indexes = round % 5 === 0 ? replicas.keys() : [Math.floor(Math.random() * REPLICAS)];
        for (const index of indexes) {
          kills++;
          await kill(index);
          replicas[index] = await startReplica(stage, server.port);
        }
      }
    }
    await queue.end();

    server.recover();
    const delivered = () => new Set(server.deliveries.map(({ to }) => to));
    const missing = () => [...queue.queued].filter(address => !delivered().has(address));
    await waitUntil(
      'every mail arrives',
      async () => {
        progress(`waiting for ${missing().length} mails`);
        await sleep(1000);
        // As if the delays of the mails that have failed had passed; the leases have to pass by themselves.
        await withClient(postgres.url, client => client.query('UPDATE auth.mail_queue SET next_at = now()'));
        return missing().length === 0 && (await countRows(postgres.url)) === 0;
      },
      DRAIN_WITHIN_MS,
    ).catch(() => undefined);

    const { twice, unexplained } = judgeCopies(server.deliveries, killedAt);
    const left = await countRows(postgres.url);
    const faults = [...server.faults].map(([fault, times]) => `${fault} ${times}`).join(', ');
    const rows: Row[] = [
      {
        ...never(
          'queued mails that are lost',
          missing().length,
          `of ${queue.queued.size}; ${queue.failed} commands failed`,
        ),
        broken: missing().length > 0 || queue.queued.size === 0,
      },
      never('mails left in the queue, or given up', left),
      {
        what: 'delivered again: 250 lost, or the replica killed before it recorded it',
        measured: twice - unexplained.length,
        reference: `${server.deliveries.length} deliveries`,
        promise: '',
      },
      never('delivered again without such a reason', unexplained.length),
      { what: 'mails that met a fault of the server', measured: faults, promise: '' },
      timesOf('from the command to its end', queue.times),
    ];
    return {
      title: `Mail: kill -9 of replicas ${kills} times, of PostgreSQL ${crashes} times, under a mail server with faults`,
      rows,
      evidence: [...missing().slice(0, 10), ...unexplained.slice(0, 10)],
    };
  } finally {
    await stage.stop();
    await server.stop();
  }
};

type Replica = { user: string; server: Server };

/** Starts a replica that signs in at the mail server under a name of its own. */
async function startReplica(stage: Stage, smtpPort: number): Promise<Replica> {
  const user = randomUUID();
  const settings = {
    PORT: String(await getPort({ host: '127.0.0.1' })),
    SMTP_URL: `smtp://${user}:secret@127.0.0.1:${smtpPort}`,
    // Errors of the mail server and the database are expected.
    LOG_LEVEL: 'fatal',
  };
  return { user, server: await stage.start(settings) };
}

/** Queues mails by the command line, some in each transaction, until it is ended. */
function startQueue(stage: Stage) {
  let ending = false;
  const state = {
    /** The addresses of those mails of which the command said that they are queued. */
    queued: new Set<string>(),
    failed: 0,
    times: [] as number[],
    async end() {
      ending = true;
      await working;
    },
  };
  const work = async () => {
    while (!ending) {
      const addresses = Array.from({ length: MAILS_AT_ONCE }, () => `${randomUUID()}@example.org`);
      const begun = performance.now();
      try {
        await stage.latchkey('mail', 'test', ...addresses);
        for (const address of addresses) state.queued.add(address);
        state.times.push(performance.now() - begun);
      } catch {
        // The database was away: they may be queued or not.
        state.failed++;
      }
    }
  };
  const working = Promise.all(Array.from({ length: QUEUERS }, work));
  return state;
}

/** Counts the mails that were delivered again, and names those for which there is no reason. */
function judgeCopies(deliveries: Delivery[], killedAt: Map<string, number>) {
  const last = new Map<string, Delivery>();
  const unexplained: string[] = [];
  let twice = 0;
  for (const delivery of deliveries) {
    const before = last.get(delivery.id);
    last.set(delivery.id, delivery);
    if (!before) continue;
    twice++;
    const killed = killedAt.get(before.by);
    const isKilled = killed !== undefined && killed - before.at < RECORDED_WITHIN_MS;
    if (before.isSaid && !isKilled) unexplained.push(`${delivery.id} again after ${delivery.at - before.at} ms`);
  }
  return { twice, unexplained };
}

function countRows(databaseUrl: string): Promise<number> {
  return withClient(databaseUrl, async client => {
    const { rows } = await client.query<{ count: number }>('SELECT count(*)::int AS count FROM auth.mail_queue');
    return rows[0]?.count ?? 0;
  });
}
