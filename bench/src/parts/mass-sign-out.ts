import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createVerifier, type SignedIn, type Verifier } from '@latchkey/auth-client';
import { withClient } from '../faults/client.js';
import { startPulse } from '../load.js';
import type { Server } from '../processes.js';
import { type Part, percentile, progress, round } from '../report.js';
import { AUDIENCE, clientOf, ISSUER, setStage, signUp } from '../stage.js';

const DEFAULT_COUNT = 1_000_000;
const REPLICAS = 2;
const PROBES = 20;
const ASK_EVERY_MS = 10;
const GIVE_UP_MS = 120_000;
// What is freed a while later does not count as kept.
const SETTLE_MS = 5000;

/** All sessions of a large installation are ended by one statement: how long until everybody knows, and who feels it. */
export const massSignOut: Part = async ({ count = DEFAULT_COUNT }) => {
  const stage = await setStage();
  const verifiers: Verifier[] = [];
  try {
    const replicas = await Promise.all(Array.from({ length: REPLICAS }, () => stage.start()));
    progress(`${count} sessions are made`);
    await withClient(stage.postgres.url, client => client.query(SESSIONS, [count]));
    // In the order of the feed they come last: who knows them knows all.
    const probes = await Promise.all(Array.from({ length: PROBES }, () => signUp(clientOf(replicas[0] as Server))));
    for (const { url } of replicas) {
      const options = { issuer: ISSUER, audience: AUDIENCE, baseUrl: url, client: await stage.newClient() };
      const verifier = createVerifier(options);
      verifiers.push(verifier);
      for (const { token } of probes) await verifier.verify(token);
    }
    const memoryBefore = await Promise.all(replicas.map(memoryOf));

    const pulses = replicas.map(({ url }) => startPulse(`${url}/livez`));
    progress(`${count} sessions end`);
    const begin = performance.now();
    await withClient(stage.postgres.url, client => client.query('UPDATE auth.sessions SET revoked_at = now()'));
    const committedAt = performance.now();
    progress('everybody learns of it');
    const [atReplicas, atVerifiers] = await Promise.all([
      Promise.all(replicas.map(replica => untilAll(probes, token => isRefusedBy(replica, token)))),
      Promise.all(verifiers.map(verifier => untilAll(probes, token => isRejectedBy(verifier, token)))),
    ]);
    const memoryPeak = await Promise.all(replicas.map(memoryOf));
    const beats = (await Promise.all(pulses.map(end => end()))).flat();
    await new Promise(resolve => setTimeout(resolve, SETTLE_MS));
    const memoryAfter = await Promise.all(replicas.map(memoryOf));

    progress('');
    const since = (times: number[]) => round(Math.max(...times) - committedAt);
    const grown = memoryAfter.map((bytes, i) => bytes - (memoryBefore[i] as number));
    const megabytes = (bytes: number[]) => bytes.map(one => round(one / 1e6)).join(', ');
    const reference = `${beats.length} requests, ${REPLICAS} replicas`;
    return {
      title: `${count} sessions end at once`,
      rows: [
        { what: 'the statement, ms', measured: round(committedAt - begin), promise: '' },
        { what: 'from its end to refusal at every replica, ms', measured: since(atReplicas), promise: '< 5000' },
        { what: 'from its end to refusal at every verifier, ms', measured: since(atVerifiers), promise: '< 5000' },
        { what: 'p99 of /livez meanwhile, ms', measured: round(percentile(beats, 99), 1), reference, promise: '< 50' },
        { what: 'longest /livez, ms', measured: round(Math.max(...beats)), promise: '' },
        {
          what: 'growth of memory, MB',
          measured: megabytes(grown),
          reference: `before ${megabytes(memoryBefore)}, when all knew ${megabytes(memoryPeak)}`,
          promise: '',
        },
        { what: 'growth of memory, bytes a session', measured: round(Math.max(...grown) / count), promise: '' },
      ],
    };
  } finally {
    for (const verifier of verifiers) verifier.close();
    await stage.stop();
  }
};

// Begun over the last day, with ids that begin with the time, as the service makes them.
const SESSIONS = `
  WITH account AS (INSERT INTO auth.users (id, username) VALUES (gen_random_uuid(), 'crowd-${randomBytes(4).toString('hex')}') RETURNING id),
  begun AS (
    SELECT lpad(to_hex(floor(1000 * extract(epoch FROM now() - interval '1 day' * (1 - n / $1::float8)) - 1000)::bigint), 12, '0') AS time
    FROM generate_series(1, $1::int) AS n
  )
  INSERT INTO auth.sessions (id, user_id, salt, expires_at, ends_at, token_expires_at)
  SELECT overlay(gen_random_uuid()::text PLACING left(time, 8) || '-' || right(time, 4) || '-7' FROM 1)::uuid, account.id, '\\x00',
    now() + interval '1 day', now() + interval '1 day', now() + interval '10 minutes'
  FROM account, begun`;

/** Resolves with the time when all tokens were refused. */
async function untilAll(probes: SignedIn[], isRefused: (token: string) => Promise<boolean>): Promise<number> {
  const deadline = performance.now() + GIVE_UP_MS;
  for (const { token } of probes) {
    while (!(await isRefused(token))) {
      if (performance.now() > deadline) return Number.POSITIVE_INFINITY;
      await new Promise(resolve => setTimeout(resolve, ASK_EVERY_MS));
    }
  }
  return performance.now();
}

async function isRefusedBy({ url }: Server, token: string): Promise<boolean> {
  const answer = await fetch(`${url}/auth/verify`, { headers: { authorization: `Bearer ${token}` } });
  await answer.arrayBuffer();
  return answer.status === 401;
}

function isRejectedBy(verifier: Verifier, token: string): Promise<boolean> {
  return verifier.verify(token).then(
    () => false,
    () => true,
  );
}

/** The resident memory of a replica, in bytes; not a number where there is no /proc. */
async function memoryOf({ child }: Server): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) * 1024;
}
