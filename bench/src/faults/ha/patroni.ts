import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import { type HaDatabase, leads, type Node, query } from './database.js';
import { type Lab, openLab } from './lab.js';

const run = promisify(execFile);

/** How long a leader that does not renew its lock stays leader, in seconds: the least that Patroni's manual allows. */
const TTL_S = 20;
/** Longer than that, so that another one leads when it wakes up. */
const FROZEN_S = 30;
/**
 * The first Patroni whose leader, when it wakes up, does not take its office back from the one that was promoted meanwhile
 * and has acknowledged writes since: with etcd's newer protocol, it used to overwrite the lock.
 * https://github.com/patroni/patroni/pull/2689
 */
const FIRST_SAFE_WITH_ETCD3 = [3, 0, 3];

const POSTGRES = '/usr/lib/postgresql';
/** The programs, by Debian's packages that they are from. */
const PROGRAMS = {
  patroni: '/usr/bin/patroni',
  'etcd-server': '/usr/bin/etcd',
  haproxy: '/usr/sbin/haproxy',
  pgbouncer: '/usr/sbin/pgbouncer',
  procps: '/bin/ps',
};

type Member = Node & { port: number; api: string; config: string };
/** What is read of how Patroni sees the cluster. */
type Status = { members: { role: string }[] };

/** The packages that are missing here. */
export async function missingPackages(): Promise<string[]> {
  const missing = Object.entries(PROGRAMS).flatMap(([name, path]) => (existsSync(path) ? [] : [name]));
  return (await newestPostgres()) === undefined ? [...missing, 'postgresql'] : missing;
}

/** Three PostgreSQL servers under Patroni with etcd; HAProxy in front asks Patroni who leads, PgBouncer in front of that. */
export async function startPatroni(): Promise<HaDatabase> {
  const lab = await openLab();
  const secret = () => randomBytes(16).toString('hex');
  const passwords = { postgres: secret(), replicator: secret(), latchkey: secret() };
  const etcd = await startEtcd(lab);
  const members: Member[] = [];
  const names = ['node1', 'node2', 'node3'];
  for (const name of names) members.push(await addMember(lab, name, etcd, passwords));

  const start = ({ name, config }: Member) => lab.start(name, PROGRAMS.patroni, [config]);
  const becomeWhole = () => lab.wait('A whole cluster', names, () => isWhole(members), 120_000);
  const memberOf = ({ name }: Node) => members.find(member => member.name === name) as Member;

  // The first makes the cluster, the others copy it.
  await start(members[0] as Member);
  await lab.wait('A leader', ['node1'], () => leads(members[0] as Member), 120_000);
  await Promise.all(members.slice(1).map(start));
  await becomeWhole();
  const haproxy = await startHaproxy(lab, members);
  const url = await startPgbouncer(lab, haproxy, passwords.latchkey);
  const leader = members[0] as Member;
  await query(leader.url, `CREATE ROLE latchkey LOGIN PASSWORD '${passwords.latchkey}'`);
  // For the role, not for a connection: that which sets them is not the one that PgBouncer hands out later.
  await query(leader.url, `ALTER ROLE latchkey SET statement_timeout = '5s'`);
  await query(leader.url, `ALTER ROLE latchkey SET lock_timeout = '2s'`);
  await query(leader.url, 'CREATE DATABASE latchkey OWNER latchkey');
  await lab.wait('An answer through PgBouncer and HAProxy', ['pgbouncer', 'haproxy'], async () => {
    await query(url, 'SELECT 1');
    return true;
  });

  return {
    title: await describe(),
    url,
    nodes: members.map(({ name, url }) => ({ name, url: url.replace(/postgres$/, 'latchkey') })),
    becomeWhole,
    stop: lab.close,
    faults: {
      'leader killed': {
        inject: ({ name }) => lab.signal(name, 'SIGKILL'),
        repair: node => start(memberOf(node)),
      },
      'switched over': {
        async inject(node) {
          const body = JSON.stringify({ leader: node.name });
          const headers = { 'content-type': 'application/json' };
          const answer = await fetch(`${memberOf(node).api}/switchover`, { method: 'POST', headers, body });
          if (!answer.ok) throw new Error(`Patroni refuses to switch over: ${await answer.text()}`);
        },
        repair: async () => undefined,
      },
      [`leader frozen for ${FROZEN_S} s`]: {
        inject: ({ name }) => lab.signal(name, 'SIGSTOP'),
        lastsS: FROZEN_S,
        repair: ({ name }) => lab.signal(name, 'SIGCONT'),
      },
    },
  };
}

/** One leads, two copy it, and the leader knows which of them confirms what it writes. */
async function isWhole(members: Member[]): Promise<boolean> {
  const leading = await Promise.all(members.map(leads));
  const leader = members[leading.indexOf(true)];
  if (!leader || leading.filter(Boolean).length > 1) return false;
  const answer = await fetch(`${leader.api}/cluster`, { signal: AbortSignal.timeout(5000) });
  const { members: known } = (await answer.json()) as Status;
  const roles = known.map(({ role }) => role).sort();
  if (roles.join() !== 'leader,replica,sync_standby') return false;
  const copying = await query(leader.url, `SELECT FROM pg_stat_replication WHERE state = 'streaming'`);
  return copying.length === members.length - 1;
}

async function startEtcd(lab: Lab): Promise<number> {
  const folder = await lab.makeFolder('etcd');
  const port = await lab.choosePort();
  const client = `http://127.0.0.1:${port}`;
  const peer = `http://127.0.0.1:${await lab.choosePort()}`;
  await lab.start('etcd', PROGRAMS['etcd-server'], [
    ...((await etcdProtocol()) === 'etcd' ? ['--enable-v2'] : []),
    ...['--name', 'etcd', '--data-dir', folder, '--listen-client-urls', client, '--advertise-client-urls', client],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `etcd=${peer}`],
  ]);
  await lab.wait('An answer of etcd', ['etcd'], async () => (await fetch(`${client}/health`)).ok);
  return port;
}

async function addMember(
  lab: Lab,
  name: string,
  etcdPort: number,
  passwords: { postgres: string; replicator: string },
): Promise<Member> {
  const folder = await lab.makeFolder(name);
  const [port, apiPort] = [await lab.choosePort(), await lab.choosePort()];
  // With synchronous_mode, a commit is acknowledged when another server has it, and only such a server is promoted.
  const config = await lab.write(
    `${name}/patroni.yml`,
    `scope: latchkey
name: ${name}
restapi:
  listen: 127.0.0.1:${apiPort}
  connect_address: 127.0.0.1:${apiPort}
${await etcdProtocol()}:
  host: 127.0.0.1:${etcdPort}
bootstrap:
  dcs:
    ttl: ${TTL_S}
    loop_wait: 2
    retry_timeout: 5
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters:
        max_connections: 60
        shared_buffers: 64MB
  initdb:
    - encoding: UTF8
    - locale: C
    - data-checksums
postgresql:
  listen: 127.0.0.1:${port}
  connect_address: 127.0.0.1:${port}
  data_dir: ${folder}/data
  bin_dir: ${await newestPostgres()}
  pgpass: ${folder}/pgpass
  authentication:
    superuser: { username: postgres, password: ${passwords.postgres} }
    replication: { username: replicator, password: ${passwords.replicator} }
  parameters:
    unix_socket_directories: ${folder}
  pg_hba:
    - local all all scram-sha-256
    - host all all 127.0.0.1/32 scram-sha-256
    - host replication replicator 127.0.0.1/32 scram-sha-256
`,
  );
  const url = `postgresql://postgres:${passwords.postgres}@127.0.0.1:${port}/postgres`;
  return { name, url, port, api: `http://127.0.0.1:${apiPort}`, config };
}

/** Sends connections to whom Patroni calls the primary, and ends those of one that is not it any more. */
async function startHaproxy(lab: Lab, members: Member[]): Promise<number> {
  const port = await lab.choosePort();
  const servers = members.map(
    ({ name, port, api }) => `  server ${name} 127.0.0.1:${port} check port ${new URL(api).port}`,
  );
  const config = await lab.write(
    'haproxy.cfg',
    `defaults
  mode tcp
  timeout connect 2s
  timeout client 30m
  timeout server 30m
  timeout check 1s

listen leader
  bind 127.0.0.1:${port}
  option httpchk
  http-check send meth GET uri /primary
  http-check expect status 200
  default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
${servers.join('\n')}
`,
  );
  await lab.start('haproxy', PROGRAMS.haproxy, ['-db', '-f', config]);
  return port;
}

async function startPgbouncer(lab: Lab, haproxyPort: number, password: string): Promise<string> {
  const port = await lab.choosePort();
  const users = await lab.write('users.txt', `"latchkey" "${password}"\n`);
  // After a connection that failed it waits 15 s by default, also when there is a leader again.
  const config = await lab.write(
    'pgbouncer.ini',
    `[databases]
latchkey = host=127.0.0.1 port=${haproxyPort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
pool_mode = transaction
default_pool_size = 20
server_login_retry = 1
server_connect_timeout = 2
query_wait_timeout = 5
`,
  );
  await lab.start('pgbouncer', PROGRAMS.pgbouncer, [config]);
  return `postgresql://latchkey:${password}@127.0.0.1:${port}/latchkey`;
}

/** Folder of the programs of the newest PostgreSQL that is installed and supported. */
async function newestPostgres(): Promise<string | undefined> {
  const versions = (await readdir(POSTGRES).catch(() => [])).map(Number).sort((a, b) => b - a);
  return versions.map(version => `${POSTGRES}/${version}/bin`).find(folder => existsSync(`${folder}/initdb`));
}

/** What Patroni's configuration calls the protocol that is safe with it. */
async function etcdProtocol(): Promise<'etcd' | 'etcd3'> {
  const installed = (await versionOf(PROGRAMS.patroni)).split('.').map(Number);
  const difference = FIRST_SAFE_WITH_ETCD3.map((part, i) => (installed[i] ?? 0) - part).find(Boolean) ?? 0;
  return difference < 0 ? 'etcd' : 'etcd3';
}

async function describe(): Promise<string> {
  const [patroni, postgres, haproxy, pgbouncer] = await Promise.all([
    versionOf(PROGRAMS.patroni),
    versionOf(`${await newestPostgres()}/postgres`),
    versionOf(PROGRAMS.haproxy, '-v'),
    versionOf(PROGRAMS.pgbouncer),
  ]);
  return `Patroni ${patroni} with PostgreSQL ${postgres}, HAProxy ${haproxy}, PgBouncer ${pgbouncer}`;
}

async function versionOf(program: string, option = '--version'): Promise<string> {
  return /\d+\.[\d.]*\d/.exec((await run(program, [option])).stdout)?.[0] ?? 'of unknown version';
}
