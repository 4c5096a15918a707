import type { ThrowawayPostgres } from '@latchkey/embedded-postgres';
import { call, sleep } from './calls.js';
import { connectTo, withClient } from './client.js';
import { crash, pause, resume } from './postgres-processes.js';
import type { TcpProxy } from './proxy.js';

/** Something that befalls the database. */
export type Fault = {
  name: string;
  /** How long it lasts; 0 when it is over as soon as it has happened. */
  seconds: number;
  /** Whether nothing can be had from the database meanwhile, so that the service must say that it is not ready. */
  isAway?: boolean;
  /** Makes it happen, and answers with what ends it. */
  begin: () => Promise<() => Promise<void>>;
};

// A silence is noticed when a statement takes too long.
const SILENCE_NOTICED_S = 8;
const AT_ONCE = 40;
const AGAIN_MS = 200;

/** All that the database can do to the service. `url` is where that answers. */
export function databaseFaults(postgres: ThrowawayPostgres, proxy: TcpProxy, url: string, seconds: number): Fault[] {
  const over = async () => undefined;
  const query = (sql: string) => withClient(postgres.url, client => client.query(sql));
  const restart = (stop: () => Promise<void>) => async () => {
    await stop();
    await postgres.start();
    return over;
  };
  const setReadOnly = async (value: 'on' | 'off') => {
    await query(`ALTER SYSTEM SET default_transaction_read_only = ${value}`);
    await query('SELECT pg_reload_conf()');
  };

  return [
    { name: 'restarted, fast', seconds: 0, begin: restart(() => postgres.halt('fast')) },
    { name: 'restarted, immediate', seconds: 0, begin: restart(() => postgres.halt('immediate')) },
    { name: 'killed and started', seconds: 0, begin: restart(() => crash(postgres)) },
    {
      name: 'stopped',
      seconds,
      isAway: true,
      begin: async () => {
        await postgres.halt('fast');
        return () => postgres.start();
      },
    },
    {
      name: 'paused (SIGSTOP)',
      seconds: seconds * 1.5,
      isAway: seconds * 1.5 > SILENCE_NOTICED_S,
      begin: async () => {
        const pids = await pause(postgres);
        return async () => resume(pids);
      },
    },
    { name: 'all connections in use', seconds, begin: () => useUp(postgres.url, url) },
    { name: 'auth.users locked', seconds, begin: () => lock(postgres.url, 'LOCK auth.users IN ACCESS EXCLUSIVE MODE') },
    {
      name: 'black hole between',
      seconds,
      isAway: seconds > SILENCE_NOTICED_S,
      begin: async () => {
        proxy.swallow();
        return async () => proxy.release();
      },
    },
    {
      name: 'connections reset',
      seconds: seconds / 4,
      begin: async () => {
        const timer = setInterval(proxy.reset, AGAIN_MS);
        return async () => clearInterval(timer);
      },
    },
    {
      name: 'connections refused',
      seconds,
      isAway: true,
      begin: async () => {
        await proxy.refuse();
        return () => proxy.accept();
      },
    },
    {
      name: 'read-only',
      seconds,
      begin: async () => {
        await setReadOnly('on');
        return () => setReadOnly('off');
      },
    },
    { name: 'connections terminated', seconds: seconds / 4, begin: () => terminate(postgres.url) },
  ];
}

/** Takes a lock and holds it. */
async function lock(databaseUrl: string, statement: string): Promise<() => Promise<void>> {
  const client = await connectTo(databaseUrl);
  await client.query('BEGIN');
  await client.query(statement);
  return async () => {
    await client.query('ROLLBACK');
    await client.end();
  };
}

/** Refreshes of a session whose row somebody has locked: each holds one of the service's connections while it waits. */
async function useUp(databaseUrl: string, url: string): Promise<() => Promise<void>> {
  const body = { username: `waits-${Date.now()}`, password: 'open sesame 42' };
  const { refreshToken } = (await call(`${url}/auth/sign-up`, { body })).body;
  const [id] = refreshToken.split('.');
  const unlock = await lock(databaseUrl, `SELECT FROM auth.sessions WHERE id = '${id}' FOR UPDATE`);
  let isOver = false;
  const wait = async () => {
    while (!isOver) {
      await call(`${url}/auth/refresh`, { body: { refreshToken } });
      await sleep(AGAIN_MS);
    }
  };
  for (let i = 0; i < AT_ONCE; i++) void wait();
  return async () => {
    isOver = true;
    await unlock();
  };
}

/** Ends everybody's connections again and again. */
async function terminate(databaseUrl: string): Promise<() => Promise<void>> {
  const client = await connectTo(databaseUrl);
  let isOver = false;
  const working = (async () => {
    while (!isOver) {
      await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`,
      );
      await sleep(AGAIN_MS);
    }
  })();
  return async () => {
    isOver = true;
    await working;
    await client.end();
  };
}
