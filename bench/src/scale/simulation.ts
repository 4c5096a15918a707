import pg from 'pg';
import { startGenerator } from '../load.js';
import type { Server } from '../processes.js';
import { issueRefreshToken, refreshTokenKey } from '../refresh-tokens.js';
import { progress, type Report, type Row, round } from '../report.js';
import { type Cost, type Ledger, openLedger } from '../speed/ledger.js';
import { clientOf, type Stage, setStage, startPostgres } from '../stage.js';
import { fill, prepareToFill, sampleNames } from './fill.js';
import { sweep } from './sweep.js';

const FEW = 1000;
// Cheap, so that the database shows.
const COST = 4;
const PASSWORD = 'open sesame 42';
const CONNECTIONS = 16;
// More than are refreshed meanwhile: each is the first change to its page, as in an installation of this size.
const SAMPLE = 40_000;
const WARM_UP_S = 3;
const TABLES = ['users', 'identifiers', 'sessions', 'audit_events'];

/** An installation with so many accounts, each with a session: its size, its cleanup, and what refreshes and sign-ins cost in it. */
export async function simulate(accounts: number, seconds: number): Promise<Report> {
  // Crash-safe: the first change to a page after a checkpoint writes the whole page, which is most of what size costs.
  const stage = await setStage({ BCRYPT_COST: String(COST) }, await startPostgres({ durable: true }));
  const database = new pg.Client(stage.postgres.url);
  const generator = startGenerator();
  try {
    const service = await stage.start();
    await clientOf(service).signUp({ username: 'pattern', password: PASSWORD });
    await database.connect();
    const ledger = await openLedger(stage.postgres.url, generator);
    const measure = (size: number) => measureRequests(stage, database, ledger, service, size, seconds);

    await configure(database, { autovacuum: 'off', max_wal_size: '4GB', checkpoint_timeout: '1h' });
    await prepareToFill(database);
    await fill(database, 0, FEW);
    await vacuum(database, TABLES);
    const few = await measure(FEW);

    const fillS = await timed(() => fill(database, FEW, accounts));
    progress('vacuum');
    const firstVacuumS = await vacuum(database, TABLES);
    await configure(database, { max_wal_size: undefined, checkpoint_timeout: undefined });
    await database.query('CHECKPOINT');
    const sizes = await measureSizes(database);
    const many = await measure(accounts);

    const before = await count(database, 'sessions');
    await database.query('SET session_replication_role = origin');
    const sweepS = await sweep(database, before);
    const deleted = before - (await count(database, 'sessions'));
    progress('vacuum');
    const vacuumS = await vacuum(database, ['sessions']);
    progress('');

    const rows: Row[] = [
      { what: 'filled in, s', measured: round(fillS), promise: '' },
      ...sizes,
      { what: 'vacuum of all tables after that, s', measured: round(firstVacuumS, 1), promise: '' },
      ...compare('refresh', few.refresh, many.refresh),
      ...compare('sign-in, one at a time', few.signIn, many.signIn),
      {
        what: 'sweep of ended sessions, s per million sessions',
        measured: round((sweepS * 1e6) / before, 1),
        reference: `${deleted} of ${before} deleted in ${round(sweepS)} s`,
        promise: '',
      },
      { what: 'vacuum of sessions after that, s', measured: round(vacuumS, 1), promise: '' },
    ];
    return { title: `${accounts.toLocaleString('en')} accounts and sessions, without autovacuum`, rows };
  } finally {
    generator.stop();
    await database.end();
    await stage.stop();
  }
}

type Requests = { refresh: Cost; signIn: Cost };

async function measureRequests(
  stage: Stage,
  database: pg.Client,
  ledger: Ledger,
  service: Server,
  size: number,
  seconds: number,
): Promise<Requests> {
  progress(`refreshes and sign-ins with ${size} accounts`);
  const tokens = await sampleTokens(stage, database);
  const refresh = { path: '/auth/refresh', connections: CONNECTIONS, follows: 'refreshToken' };
  const { bodies } = await ledger.measure(service, { ...refresh, bodies: tokens, seconds: WARM_UP_S });
  const refreshed = await ledger.measure(service, { ...refresh, bodies: rotate(bodies), seconds });
  const names = await sampleNames(database, size, SAMPLE);
  const signIn = {
    path: '/auth/sign-in',
    connections: 1,
    bodies: names.map(username => ({ username, password: PASSWORD })),
  };
  await ledger.measure(service, { ...signIn, seconds: WARM_UP_S });
  return { refresh: refreshed, signIn: await ledger.measure(service, { ...signIn, seconds }) };
}

/** Refresh tokens of live sessions, in random order. */
async function sampleTokens(stage: Stage, database: pg.Client): Promise<{ refreshToken: string }[]> {
  const key = refreshTokenKey(stage.env['AUTH_SECRETS'] as string);
  const { rows } = await database.query<{ accountId: string; sessionId: string; generation: number; salt: Buffer }>(
    `SELECT user_id AS "accountId", id AS "sessionId", generation, salt FROM auth.sessions
     WHERE revoked_at IS NULL AND expires_at > now() ORDER BY random() LIMIT $1`,
    [SAMPLE],
  );
  return rows.map(({ salt, ...head }) => ({ refreshToken: issueRefreshToken(key, head, salt) }));
}

/** Puts the second half first, which the warm-up has not come to. */
function rotate<T>(items: T[]): T[] {
  const middle = items.length >> 1;
  return [...items.slice(middle), ...items.slice(0, middle)];
}

function compare(name: string, few: Cost, many: Cost): Row[] {
  const compared = (what: string, value: (cost: Cost) => number, digits: number): Row => ({
    what: `${name}: ${what}`,
    measured: round(value(many), digits),
    reference: `${FEW} accounts: ${round(value(few), digits)}`,
    ratio: round(value(many) / value(few), 2),
    promise: '',
  });
  const rate = compared('per s', ({ perSecond }) => perSecond, 0);
  if (!few.cpu) return [rate];
  return [rate, compared('CPU of PostgreSQL, ms', ({ cpu }) => cpu?.postgres ?? Number.NaN, 2)];
}

/** The tables with their indexes, and all partitions of theirs. */
async function measureSizes(database: pg.Client): Promise<Row[]> {
  const rows: Row[] = [];
  for (const table of TABLES) {
    const { rows: found } = await database.query<{ bytes: string }>(
      `SELECT sum(pg_total_relation_size(relid)) AS bytes
       FROM (SELECT $1::regclass AS relid UNION SELECT relid FROM pg_partition_tree($1)) AS relations`,
      [`auth.${table}`],
    );
    const bytes = Number(found[0]?.bytes);
    const reference = `${round(bytes / (await count(database, table)))} bytes a row`;
    rows.push({ what: `${table}: GB with indexes`, measured: round(bytes / 1e9, 2), reference, promise: '' });
  }
  return rows;
}

async function count(database: pg.Client, table: string): Promise<number> {
  const { rows } = await database.query<{ count: string }>(`SELECT count(*) FROM auth.${table}`);
  return Number(rows[0]?.count);
}

const vacuum = (database: pg.Client, tables: string[]) =>
  timed(async () => {
    for (const table of tables) await database.query(`VACUUM (ANALYZE) auth.${table}`);
  });

async function configure(database: pg.Client, settings: Record<string, string | undefined>): Promise<void> {
  for (const [name, value] of Object.entries(settings))
    await database.query(`ALTER SYSTEM ${value === undefined ? `RESET ${name}` : `SET ${name} = '${value}'`}`);
  await database.query('SELECT pg_reload_conf()');
}

/** How long work takes, in seconds. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return (performance.now() - begin) / 1000;
}
