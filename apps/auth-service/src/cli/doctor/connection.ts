import { lookup } from 'node:dns/promises';
import { access } from 'node:fs/promises';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describeRefusal, kindOfDatabaseError, nameOf, type Queryable } from '@latchkey/service-kit/database';
import pg from 'pg';
import type { Settings } from '../../config/settings.js';
import { type Finding, fail, warn } from './finding.js';

/** A connection to the database that changes nothing there. */
export type Connection = {
  client: pg.Client;
  /** Opens another one like it. */
  openAnother(): Promise<pg.Client>;
  /** Whether the server closed the connection, or does not respond. */
  isLost(error: Error): boolean;
  /** Whether it is the embedded PostgreSQL, for development. */
  embedded: boolean;
  /** Reads in a read-only transaction. */
  read<T>(what: (db: Queryable) => Promise<T>): Promise<T>;
};

/** The connection, or why there is none. */
export type Opened = { connection: Connection; close(): Promise<void> } | { finding: Finding };

const NAME = 'database';
const CONNECT_TIMEOUT_MS = 5000;
const PROBE_TIMEOUT_MS = 2000;
const STATEMENT_TIMEOUT_MS = 5000;

/**
 * Connects as the service does, without migrating or creating anything. An embedded database that exists and does not run is
 * started, and stopped by `close()`.
 */
export async function openConnection(settings: Settings): Promise<Opened> {
  const { databaseUrl, dataDir } = settings;
  if (databaseUrl) return connectTo(databaseUrl, { embedded: false, release: async () => undefined });
  if (!(await exists(join(dataDir, 'postgres', 'data', 'PG_VERSION')))) {
    const advice = 'Start the service once, which creates it, or set DATABASE_URL.';
    return { finding: warn(NAME, `there is no embedded database in ${dataDir} yet`, advice) };
  }
  try {
    const { startPostgres } = await import('@latchkey/embedded-postgres');
    const { url, stop } = await startPostgres(dataDir);
    return connectTo(url, { embedded: true, release: stop });
  } catch (error) {
    return { finding: fail(NAME, (error as Error).message, `Look at the log in ${join(dataDir, 'postgres')}.`) };
  }
}

async function connectTo(
  url: string,
  { embedded, release }: { embedded: boolean; release: () => Promise<void> },
): Promise<Opened> {
  let client: pg.Client;
  const clients: pg.Client[] = [];
  const open = async () => {
    const opened = makeClient(url);
    clients.push(opened);
    await opened.connect();
    return opened;
  };
  const close = async () => {
    // A server that does not respond does not close the connection either.
    await Promise.race([
      Promise.all(clients.map(one => one.end().catch(() => undefined))),
      setTimeout(1000, undefined, { ref: false }),
    ]);
    for (const one of clients) streamOf(one).destroy();
    await release();
  };
  try {
    client = await open();
  } catch (error) {
    const finding = await describeFailure(error as NodeJS.ErrnoException, clients[0]);
    await close();
    return { finding };
  }

  let ended = false;
  client.once('end', () => {
    ended = true;
  });
  return {
    close,
    connection: {
      client,
      embedded,
      openAnother: open,
      isLost: error => ended || kindOfDatabaseError(error) === 'silent',
      async read(what) {
        await client.query(`BEGIN READ ONLY; SET LOCAL statement_timeout = ${STATEMENT_TIMEOUT_MS}`);
        try {
          return await what(client);
        } finally {
          await client.query('ROLLBACK').catch(() => undefined);
        }
      },
    },
  };
}

function makeClient(url: string): pg.Client {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS + 1000,
  });
  // pg emits `error` as well; the pending query already rejects.
  client.on('error', () => undefined);
  return client;
}

/** The socket under a connection, TLS or not. */
export function streamOf(client: pg.Client): NodeJS.WritableStream & { destroy(): void; authorized?: boolean } {
  return (client.connection as unknown as { stream: ReturnType<typeof streamOf> }).stream;
}

/** Describes the step at which a connection failed. */
async function describeFailure(error: NodeJS.ErrnoException, client: pg.Client | undefined): Promise<Finding> {
  const { code = '', message } = error;
  if (!client) return fail(NAME, `DATABASE_URL cannot be used (${message})`, 'Correct DATABASE_URL.');
  const { host, port, user = '', database = '' } = client;
  const where = { host, port, user, database };
  const place = nameOf(where);
  const cause = message || code;

  const refusal = describeRefusal(error, where);
  if (refusal) return fail(NAME, refusal.detail, refusal.advice);
  const kind = kindOfDatabaseError(error);
  if (kind === 'not-allowed') {
    const advice = `Run: GRANT CONNECT ON DATABASE "${database}" TO "${user}"`;
    return fail(NAME, `the role "${user}" may not connect to the database "${database}"`, advice);
  }
  if (kind === 'silent') return describeSilence(host, port, place);
  if (kind === 'disconnected') {
    return fail(
      NAME,
      `${place} closes the connection at once`,
      'Check the port in DATABASE_URL: another program than PostgreSQL may listen there.',
    );
  }
  return fail(NAME, `${place} cannot be used (${cause})`, 'Check DATABASE_URL.');
}

/** Describes the step that takes too long. */
async function describeSilence(host: string, port: number, place: string): Promise<Finding> {
  const resolved = await Promise.race([
    lookup(host).catch(() => undefined),
    setTimeout(PROBE_TIMEOUT_MS, undefined, { ref: false }),
  ]);
  if (!resolved)
    return fail(
      NAME,
      `the name ${host} cannot be resolved within ${PROBE_TIMEOUT_MS / 1000} s`,
      'Check the host in DATABASE_URL, and DNS.',
    );
  if (await takesConnections(host, port)) {
    const advice =
      'Check that PostgreSQL listens there, and that it is not overloaded. A pooler waits while its server is down.';
    return fail(
      NAME,
      `${place} accepts connections, but does not respond within ${CONNECT_TIMEOUT_MS / 1000} s`,
      advice,
    );
  }
  const advice = 'Check the host and port in DATABASE_URL, and the firewalls and network policies on the way.';
  return fail(NAME, `${place} cannot be reached within ${CONNECT_TIMEOUT_MS / 1000} s`, advice);
}

function takesConnections(host: string, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connectSocket({ host, port, timeout: PROBE_TIMEOUT_MS });
    const end = (taken: boolean) => {
      socket.destroy();
      resolve(taken);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.once('timeout', () => end(false));
  });
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
