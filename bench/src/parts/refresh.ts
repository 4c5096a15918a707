import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import autocannon from 'autocannon';
import { clientOf, type Stage, signUp } from '../stage.js';
import { type Statement, startRecorder } from '../statements.js';

const SESSIONS = 64;
const SIGN_UPS_AT_ONCE = 8;
const CONNECTIONS = 16;

/** One refresh: the token, and the statement that the service makes of it. */
export type Refresh = { token: string; statement: Statement };

/**
 * Prepares refreshes that can be repeated: each session's parent token, within the grace period. Every one of them is the
 * same statement as any refresh, and writes as much.
 */
export async function prepareRefreshes(stage: Stage, count = SESSIONS): Promise<Refresh[]> {
  const recorder = await startRecorder(stage.postgres.url);
  const server = await stage.start({ DATABASE_URL: recorder.url });
  const client = clientOf(server);
  const prepare = async (): Promise<Refresh> => {
    const { token: accessToken, refreshToken: token } = await signUp(client);
    const { sid } = JSON.parse(Buffer.from(accessToken.split('.')[1] as string, 'base64url').toString());
    recorder.take(sid);
    await client.refresh(token);
    const [statement, ...others] = recorder.take(sid);
    if (!statement || others.length > 0)
      throw new Error('A refresh is no longer one statement with the id of the session.');
    return { token, statement };
  };
  const prepared: Refresh[] = [];
  try {
    // A few at once: all of them would wait for a hash for longer than they may at the default cost.
    while (prepared.length < count) {
      const atOnce = Math.min(SIGN_UPS_AT_ONCE, count - prepared.length);
      prepared.push(...(await Promise.all(Array.from({ length: atOnce }, prepare))));
    }
  } finally {
    await server.stop();
    recorder.stop();
  }
  return prepared;
}

/** Refreshes per second at the service, or at the bare route. */
export async function refreshRate(url: string, bodies: object[], seconds: number): Promise<number> {
  const { requests, non2xx, errors } = await autocannon({
    url: `${url}/auth/refresh`,
    connections: CONNECTIONS,
    duration: seconds,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    requests: bodies.map(body => ({ body: JSON.stringify(body) })),
  });
  if (non2xx + errors > 0) throw new Error(`${non2xx + errors} refreshes at ${url} failed`);
  return requests.average;
}

/** Statements per second by pgbench, which needs neither Node nor HTTP; `undefined` where it is not installed. */
export async function pgbenchRate(stage: Stage, refreshes: Refresh[], seconds: number): Promise<number | undefined> {
  if (spawnSync('pgbench', ['--version']).status !== 0) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-bench-'));
  try {
    const scripts = refreshes.map(({ statement }, i) => {
      const script = join(folder, `${i}.sql`);
      writeFileSync(script, `${inline(statement)};\n`);
      return ['--file', script];
    });
    const clients = ['--client', String(CONNECTIONS), '--jobs', '1', '--time', String(seconds)];
    // The simple protocol: the others take the `:MI` of a time's format for a variable.
    const args = ['--no-vacuum', '--protocol', 'simple', ...clients, ...scripts.flat(), stage.postgres.url];
    const { stdout, stderr } = spawnSync('pgbench', args, { encoding: 'utf8' });
    const tps = /tps = ([\d.]+)/.exec(stdout)?.[1];
    if (tps === undefined) throw new Error(`pgbench failed: ${stderr}`);
    return Number(tps);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Puts values into a statement, which pgbench wants in one line. */
function inline({ text, values }: Statement): string {
  const literal = (value: Statement['values'][number] | undefined): string => {
    if (Buffer.isBuffer(value)) return `'\\x${value.toString('hex')}'::bytea`;
    return typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : 'NULL';
  };
  return text.replace(/\s+/g, ' ').replace(/\$(\d+)/g, (_, n) => literal(values[Number(n) - 1]));
}
