import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import autocannon from 'autocannon';
import type { Server } from '../processes.js';
import { clientOf, type Stage, signUp } from '../stage.js';

const SESSIONS = 64;
const SIGN_UPS_AT_ONCE = 8;
const CONNECTIONS = 16;

/** One refresh: the token, and the parameters of the statement that it comes to. */
type Refresh = { token: string; values: unknown[] };

/**
 * Prepares refreshes that can be repeated: each session's parent token, within the grace period. Every one of them is the
 * same statement as any refresh, and writes as much.
 */
export async function prepareRefreshes(stage: Stage, server: Server): Promise<Refresh[]> {
  const { createRefreshTokens, parseRefreshToken } = await fromService('tokens/refresh-token.js');
  const { parseSecrets } = await fromService('secrets.js');
  const refreshTokens = createRefreshTokens(parseSecrets(stage.env['AUTH_SECRETS']));
  const client = clientOf(server);
  const prepare = async (): Promise<Refresh> => {
    const { refreshToken: token } = await signUp(client);
    await client.refresh(token);
    const { sessionId, generation, mac } = parseRefreshToken(token);
    const seeds: Buffer[] = refreshTokens.seeds({ sessionId, generation, mac });
    return { token, values: [sessionId, generation, seeds, mac, 600, 2_592_000, 300] };
  };
  const prepared: Refresh[] = [];
  // A few at once: all of them would wait for a hash for longer than they may at the default cost.
  while (prepared.length < SESSIONS) {
    prepared.push(...(await Promise.all(Array.from({ length: SIGN_UPS_AT_ONCE }, prepare))));
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
  const { REFRESH } = await fromService('sessions/refresh.js');
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-bench-'));
  try {
    const scripts = refreshes.map(({ values }, i) => {
      const script = join(folder, `${i}.sql`);
      writeFileSync(script, `${inline(REFRESH, values)};\n`);
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
function inline(statement: string, values: unknown[]): string {
  const literal = (value: unknown): string => {
    if (Buffer.isBuffer(value)) return `'\\x${value.toString('hex')}'::bytea`;
    if (Array.isArray(value)) return `ARRAY[${value.map(literal)}]`;
    return typeof value === 'number' ? String(value) : `'${value}'`;
  };
  const origin = `json_build_object('id', uuidv7(), 'requestId', 'bench', 'address', '127.0.0.1', 'userAgent', 'bench')`;
  return statement
    .replace(/\$(\d)/g, (_, n) => (n === '8' ? origin : literal(values[Number(n) - 1])))
    .replace(/\s+/g, ' ');
}

/** A module of the built service. */
// biome-ignore lint/suspicious/noExplicitAny: built JavaScript has no types
function fromService(file: string): Promise<any> {
  return import(new URL(`../../../apps/auth-service/dist/${file}`, import.meta.url).href);
}
