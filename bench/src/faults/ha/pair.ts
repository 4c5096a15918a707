import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startThrowawayPostgres, type ThrowawayPostgres } from '@latchkey/embedded-postgres';
import { stopsOnce } from '../../cleanup.js';
import { waitUntil } from '../calls.js';
import { crash, pause, resume } from '../postgres-processes.js';
import { startProxy } from '../proxy.js';
import { type HaDatabase, type Node, query } from './database.js';

const FROZEN_S = 10;

type Server = Node & { postgres: ThrowawayPostgres };

/**
 * Two PostgreSQL servers, one of which copies the other and confirms what that writes. What Patroni and HAProxy are there
 * for, this does itself: it promotes the one that is left, and points a proxy at it.
 */
export async function startPair(): Promise<HaDatabase> {
  const starting = [startThrowawayPostgres({ durable: true }), startThrowawayPostgres({ durable: true })] as const;
  const stop = stopsOnce(async () => {
    for (const started of await Promise.allSettled(starting)) {
      if (started.status === 'fulfilled') await started.value.stop();
    }
  });
  const [first, second] = await Promise.all(starting);
  const proxy = await startProxy(Number(new URL(first.url).port));
  // The copy has the password of the one that it was made from.
  const secondUrl = new URL(first.url);
  secondUrl.port = new URL(second.url).port;
  const servers: [Server, Server] = [
    { name: 'node1', url: first.url, postgres: first },
    { name: 'node2', url: secondUrl.href, postgres: second },
  ];
  const serverOf = (node: Node) => servers.find(({ name }) => name === node.name) as Server;
  const otherThan = (node: Node) => servers.find(({ name }) => name !== node.name) as Server;

  const lead = (server: Server) => {
    proxy.leadTo(Number(new URL(server.url).port));
    proxy.reset();
  };
  const promote = async (server: Server) => {
    await query(server.url, 'SELECT pg_promote()');
    lead(server);
  };
  /** Makes the node a copy of the other one, which is stopped for that. */
  const copy = async (node: Node) => {
    const [standby, leader] = [serverOf(node), otherThan(node)];
    if ((await standby.postgres.pid()) !== undefined) await standby.postgres.halt('immediate').catch(() => undefined);
    await leader.postgres.halt('fast');
    await makeStandby(leader, standby);
    await leader.postgres.start();
    await standby.postgres.start();
    lead(leader);
  };
  const becomeWhole = () =>
    waitUntil('The standby confirms', async () => {
      const states = servers.map(({ url }) => query(url, `SELECT FROM pg_stat_replication WHERE sync_state = 'sync'`));
      return (await Promise.allSettled(states)).some(state => state.status === 'fulfilled' && state.value.length === 1);
    });

  await copy(servers[1]);
  await becomeWhole();
  let frozen: number[] = [];
  return {
    title: 'two PostgreSQL servers behind a proxy',
    url: proxy.urlOf(first.url),
    nodes: servers,
    becomeWhole,
    async stop() {
      await proxy.stop();
      await stop();
    },
    faults: {
      'leader killed': {
        async inject(leader) {
          await crash(serverOf(leader).postgres);
          await promote(otherThan(leader));
        },
        repair: copy,
      },
      'switched over': {
        async inject(leader) {
          await serverOf(leader).postgres.halt('fast');
          await promote(otherThan(leader));
        },
        repair: copy,
      },
      [`leader frozen for ${FROZEN_S} s`]: {
        async inject(leader) {
          frozen = await pause(serverOf(leader).postgres);
          await promote(otherThan(leader));
        },
        lastsS: FROZEN_S,
        async repair(node) {
          resume(frozen);
          await copy(node);
        },
      },
    },
  };
}

/** Gives a standby the data of a leader that is stopped, and tells each what it is. */
async function makeStandby(leader: Server, standby: Server): Promise<void> {
  const [from, to] = [leader, standby].map(({ postgres }) => join(postgres.home, 'data')) as [string, string];
  await rm(to, { recursive: true, force: true });
  // With the owner, which Node's own copy does not keep.
  await promisify(execFile)('cp', ['-a', from, to]);
  const { port, password } = new URL(leader.url);
  const upstream = `host=127.0.0.1 port=${port} user=postgres password=${password}`;
  await writeFile(join(to, 'standby.signal'), '');
  await writeFile(join(to, 'postgresql.auto.conf'), `primary_conninfo = '${upstream}'\n`);
  await writeFile(join(from, 'postgresql.auto.conf'), `synchronous_standby_names = '*'\n`);
}
