import { readFileSync } from 'node:fs';
import pg from 'pg';
import { cpuByPriority, cpuOfPostgres, cpuOfProcess, HAS_LEDGER, parseStat } from '../cpu.js';
import type { Load, LoadGenerator } from '../load.js';
import type { Server } from '../processes.js';
import { median, round } from '../report.js';

/** What requests took: how many a second, and CPU by process, in ms for each request. No CPU where the system has no ledger. */
export type Cost = {
  perSecond: number;
  cpu?: {
    server: number;
    /** Of it, the threads at normal priority, and those at a lower one: these hash. */
    threads: { normal: number; low: number };
    postgres: number;
    generator: number;
  };
};

type PathLoad = Omit<Load, 'url'> & { path: string };

/** Measures loads by the ledger. */
export type Ledger = {
  /** Sends a load; resolves with its cost, and the bodies that would come next. */
  measure(server: Server, load: PathLoad): Promise<Cost & { bodies: object[] }>;
  /**
   * Sends a load until so many requests were answered, so that V8 has optimized what they run; resolves with the bodies that would
   * come next. A number of requests, not a time: on a busy machine a few seconds are a few hundred.
   */
  warmUp(server: Server, load: Omit<PathLoad, 'seconds'>, requests: number): Promise<object[]>;
};

/** Opens the ledger of a database, which must run on this machine, and of a load generator. */
export async function openLedger(databaseUrl: string, generator: LoadGenerator): Promise<Ledger> {
  const postmaster = HAS_LEDGER ? await findPostmaster(databaseUrl) : 0;
  const read = ({ child }: Server) => ({
    server: cpuOfProcess(child.pid as number),
    ...cpuByPriority(child.pid as number),
    postgres: cpuOfPostgres(postmaster),
    generator: cpuOfProcess(generator.pid),
  });
  return {
    async warmUp(server, { path, ...load }, requests) {
      let { bodies = [] } = load;
      for (let answered = 0; answered < requests; ) {
        const result = await generator.send({
          ...load,
          ...(load.bodies && { bodies }),
          url: server.url + path,
          seconds: 1,
        });
        answered += result.requests;
        bodies = result.bodies;
      }
      return bodies;
    },
    async measure(server, { path, ...load }) {
      const before = HAS_LEDGER ? read(server) : undefined;
      const { requests, seconds, bodies } = await generator.send({ ...load, url: server.url + path });
      const perSecond = requests / seconds;
      if (!before) return { perSecond, bodies };
      const after = read(server);
      const each = (name: keyof typeof after) => (after[name] - before[name]) / requests;
      const threads = { normal: each('normal'), low: each('low') };
      const cpu = { server: each('server'), threads, postgres: each('postgres'), generator: each('generator') };
      return { perSecond, cpu, bodies };
    },
  };
}

/** A backend is a child of the postmaster. */
async function findPostmaster(databaseUrl: string): Promise<number> {
  const client = new pg.Client(databaseUrl);
  await client.connect();
  try {
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    return parseStat(readFileSync(`/proc/${rows[0]?.pid}/stat`, 'utf8')).parent;
  } finally {
    await client.end();
  }
}

/** The CPU of a request in ms, of the server and, unless told otherwise, of PostgreSQL; without a ledger, its share of a second. */
export function costOf({ perSecond, cpu }: Cost, withPostgres = true): number {
  if (!cpu) return 1000 / perSecond;
  return cpu.server + (withPostgres ? cpu.postgres : 0);
}

/** The medians of several costs as a line of figures, in microseconds of CPU for each request. */
export function describeCosts(costs: Cost[]): Record<string, number | string> {
  const of = (value: (cost: Cost) => number | undefined) => median(costs.map(cost => value(cost) ?? Number.NaN));
  const perSecond = round(
    of(cost => cost.perSecond),
    1,
  );
  if (!HAS_LEDGER) return { 'per s': perSecond, CPU: 'this system has no ledger' };
  const microseconds = (value: (cpu: NonNullable<Cost['cpu']>) => number) =>
    round(1000 * of(({ cpu }) => cpu && value(cpu)), 1);
  return {
    'per s': perSecond,
    'server, µs': microseconds(({ server }) => server),
    'PostgreSQL, µs': microseconds(({ postgres }) => postgres),
    'generator, µs': microseconds(({ generator }) => generator),
  };
}
