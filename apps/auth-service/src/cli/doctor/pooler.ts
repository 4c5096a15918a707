import type pg from 'pg';
import type { Connection } from './connection.js';
import { type Finding, ok, warn } from './finding.js';

/** The pooler between the service and the database, by its mode. */
export type Pooling = 'none' | 'sessions' | 'transactions';

const PROBES = 5;
const LIMITS = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'];

/**
 * Detects a pooler by its process ids: it gives its clients ids of its own. With a pooler of transactions, two connections
 * that are idle in turn share one server process.
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

/** Reports the pooler, and whether statements have limits behind it. */
export async function checkPooling(connection: Connection): Promise<Finding[]> {
  const pooling = await detectPooling(connection);
  if (pooling === 'none') {
    return [ok('pooler', 'there is none'), ok('limits', 'the service sets the limits that the role does not have')];
  }
  const { user } = connection.client;
  const findings = [
    pooling === 'sessions'
      ? ok('pooler', 'there is one that pools sessions')
      : ok('pooler', 'there is one that pools transactions: replicas poll for changes, every 1 to 2 s'),
  ];
  // `reset_val` is the value at the start of a session, whatever other clients have set since.
  const missing = await connection.read(async db => {
    const { rows } = await db.query<{ name: string }>(
      `SELECT name FROM pg_settings WHERE name = ANY ($1) AND reset_val = '0' ORDER BY name`,
      [LIMITS],
    );
    return rows.map(({ name }) => name);
  });
  if (pooling === 'sessions' || missing.length === 0)
    return [...findings, ok('limits', 'the role has limits, which apply behind the pooler too')];
  const advice = missing.map(name => `ALTER ROLE "${user}" SET ${name} = '${name === 'lock_timeout' ? 2 : 5}s'`);
  return [
    ...findings,
    warn(
      'limits',
      `the role has no ${missing.join(', ')}, and what the service sets reaches only some connections of the pooler`,
      `Run: ${advice.join('; ')}. Then reconnect the pooler.`,
    ),
  ];
}
