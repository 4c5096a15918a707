import { readdir } from 'node:fs/promises';
import getPort from 'get-port';
import { type Part, progress, type Row, round } from '../report.js';
import { clientOf, setStage, signUp, startPostgres } from '../stage.js';
import { sleep } from './calls.js';
import { connectTo, withClient } from './client.js';

const MIGRATIONS = new URL('../../../apps/auth-service/migrations', import.meta.url);
const LOOK_FOR_MS = 60_000;

/** Many replicas start at once on an empty database, and the one that migrates it is killed. */
export const coldStart: Part = async ({ quick = false, count = quick ? 6 : 20 }) => {
  const postgres = await startPostgres({ durable: true });
  const stage = await setStage({}, postgres);
  try {
    await slowDown(postgres.url);
    const pids = new Map<string, number>();
    const before = performance.now();
    const starts = Array.from({ length: count }, async (_, index) => {
      const name = `replica-${index}`;
      const port = await getPort({ host: '127.0.0.1' });
      // How the database knows it.
      return stage.start({ PORT: String(port), PGAPPNAME: name }, child => pids.set(name, child.pid as number));
    });
    const settled = Promise.allSettled(starts);
    progress(`${count} replicas start`);
    const killed = await killMigrator(postgres.url, pids);
    const results = await settled;
    const readyAfter = performance.now() - before;
    const ready = results.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []));
    const answers = await Promise.all(ready.map(({ url }) => fetch(`${url}/readyz`).then(({ status }) => status)));
    const notReady = count - 1 - answers.filter(status => status === 200).length;

    const again = await stage.start();
    for (const server of [...ready, again]) await signUp(clientOf(server));
    const files = (await readdir(MIGRATIONS)).length;
    const { migrations, names, keys, connections } = await look(postgres.url);
    const isOnce = migrations === files && names === files;
    const rows: Row[] = [
      {
        what: 'killed while it migrated',
        measured: killed ?? 'nobody: it was too quick',
        promise: '',
        broken: killed === undefined,
      },
      {
        what: 'each migration is applied once',
        measured: isOnce ? 'yes' : 'no',
        reference: `${migrations} applied, ${names} different, of ${files}`,
        promise: 'yes',
        broken: !isOnce,
      },
      { what: 'signing keys made', measured: keys, promise: '1', broken: keys !== 1 },
      { what: 'others that are not ready', measured: notReady, promise: '0', broken: notReady !== 0 },
      { what: 'all ready after, s', measured: round(readyAfter / 1000, 1), promise: '' },
      { what: 'connections to the database', measured: connections, reference: `${count} replicas`, promise: '' },
    ];
    return { title: `${count} replicas start at once on an empty database`, rows };
  } finally {
    await stage.stop();
  }
};

/** Makes every step of a migration take a moment, so that the kill falls into it on any machine. */
async function slowDown(databaseUrl: string): Promise<void> {
  await withClient(databaseUrl, client =>
    client.query(`
      CREATE FUNCTION public.take_a_moment() RETURNS event_trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(0.05); END $$;
      CREATE EVENT TRIGGER take_a_moment ON ddl_command_start WHEN TAG IN ('CREATE TABLE')
        EXECUTE FUNCTION public.take_a_moment()`),
  );
}

/** Kills the replica that holds the lock of the migrations, once it has made tables that nobody else can see. */
async function killMigrator(databaseUrl: string, pids: Map<string, number>): Promise<string | undefined> {
  const client = await connectTo(databaseUrl);
  try {
    for (const deadline = performance.now() + LOOK_FOR_MS; performance.now() < deadline; await sleep(2)) {
      const { rows } = await client.query<{ name: string }>(
        `SELECT a.application_name AS name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.locktype = 'advisory' AND l.granted AND a.backend_xid IS NOT NULL`,
      );
      const pid = pids.get(rows[0]?.name ?? '');
      if (pid === undefined) continue;
      process.kill(pid, 'SIGKILL');
      return rows[0]?.name;
    }
    return undefined;
  } finally {
    await client.end();
  }
}

async function look(databaseUrl: string) {
  const { rows } = await withClient(databaseUrl, client =>
    client.query<Record<'migrations' | 'names' | 'keys' | 'connections', number>>(
      `SELECT count(*)::int AS migrations, count(DISTINCT name)::int AS names,
         (SELECT count(*)::int FROM auth.signing_keys) AS keys,
         (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections
       FROM auth.migrations`,
    ),
  );
  return rows[0] as (typeof rows)[0];
}
