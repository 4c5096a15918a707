import type pg from 'pg';
import type { Connection } from './connection.js';
import { type Finding, ok, warn } from './finding.js';

/** What stands between the service and the database. */
export type Pooling = 'none' | 'sessions' | 'transactions';

const PROBES = 5;
const LIMITS = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'];

/**
 * Finds a pooler without asking it: it gives process ids of its own to its clients. One that pools transactions lets two
 * connections that are idle by turns share one server process.
 */
export async function detectPooling({ client, openAnother }: Connection): Promise<Pooling> {
  const claimed = (client as pg.Client & { processID: number }).processID;
  if (claimed === (await backendPid(client))) return 'none';
  const other = await openAnother();
  for (let i = 0; i < PROBES; i++) {
    if ((await backendPid(client)) === (await backendPid(other))) return 'transactions';
  }
  return 'sessions';
}

async function backendPid(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return rows[0]?.pid as number;
}

/** Tells of the pooler, and whether statements have limits behind it. */
export async function checkPooling(connection: Connection): Promise<Finding[]> {
  const pooling = await detectPooling(connection);
  if (pooling === 'none') {
    return [ok('pooler', 'none'), ok('limits', 'the service sets those that the role lacks')];
  }
  const { user } = connection.client;
  const findings = [
    pooling === 'sessions'
      ? ok('pooler', 'there is one, and it pools sessions')
      : ok('pooler', 'there is one that pools transactions: replicas hear of changes by asking, every 1 to 2 s'),
  ];
  // What a session begins with, whatever others have set in it since.
  const missing = await connection.read(async db => {
    const { rows } = await db.query<{ name: string }>(
      `SELECT name FROM pg_settings WHERE name = ANY ($1) AND reset_val = '0' ORDER BY name`,
      [LIMITS],
    );
    return rows.map(({ name }) => name);
  });
  if (pooling === 'sessions' || missing.length === 0)
    return [...findings, ok('limits', 'in force behind the pooler too')];
  const advice = missing.map(name => `ALTER ROLE "${user}" SET ${name} = '${name === 'lock_timeout' ? 2 : 5}s'`);
  return [
    ...findings,
    warn(
      'limits',
      `the role has no ${missing.join(', ')}; what the service sets reaches only some connections of the pooler`,
      `Run: ${advice.join('; ')}. Then reconnect the pooler.`,
    ),
  ];
}
