import { setTimeout } from 'node:timers/promises';
import { connectionConfig, isDatabaseUnavailable, type Queryable, setLimits } from '@latchkey/service-kit/database';
import fp from 'fastify-plugin';
import pg from 'pg';
import type { DatabaseSettings } from '../config/sections/database.js';
import type { SessionSettings } from '../config/sections/sessions.js';
import { createOutageWatch } from './outage.js';

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Keeps a copy of a table up to date: loads it now, when the database notifies of a change, when the connection is
     * back after it was lost, and every so often in case a notification is lost.
     *
     * @returns a function that loads it now and resolves afterwards, also when that failed
     */
    follow(table: string, everyMs: number, load: (db: Queryable) => Promise<void>): Promise<() => Promise<void>>;
    /**
     * Runs work on the service's own connection, which no request can keep busy or use up. One piece of work at a time.
     *
     * @throws when the connection is lost
     */
    askDatabase<T>(work: (db: Queryable) => Promise<T>): Promise<T>;
    /**
     * How long a used refresh token still gives its successor: the setting, and as long as the database was away, when it is
     * now, or was until less than that setting ago, since no client could repeat its refresh meanwhile. In seconds.
     */
    refreshGraceS(): number;
  }
}

const CHANNEL = 'latchkey_auth';
const RECONNECT_MS = 500;
// Followers read every second; a pause of garbage collection or a slow statement is no outage.
const AWAY_AFTER_MS = 3000;

/**
 * Keeps one connection to the database that belongs to the service itself: it is notified of changes there, reads them, and
 * judges the health of the database, however busy the pool is.
 */
export default fp<{ config: DatabaseSettings & Pick<SessionSettings, 'refreshGraceS'> }>(
  async (app, { config }) => {
    const followers = new Map<string, () => Promise<void>>();
    const closing = new AbortController();
    const outages = createOutageWatch(AWAY_AFTER_MS, config.refreshGraceS * 1000);
    app.decorate('refreshGraceS', () => config.refreshGraceS + Math.ceil(outages.awayMs() / 1000));
    // A statement of a request that succeeds shows as well that the database is there.
    app.pg.pool.on('release', (error: unknown) => {
      if (!error) outages.responded(performance.now());
    });

    let connection: pg.Client | undefined;
    let giveUp: () => void = () => undefined;

    /** Opens the connection; `lost` resolves when it is of no use any more. */
    const connect = async (): Promise<{ lost: Promise<void> }> => {
      const client = new pg.Client(connectionConfig(config.databaseUrl, 'auth-service listener'));
      const lost = new Promise<void>(resolve => {
        giveUp = resolve;
        client.once('end', resolve).on('error', () => resolve());
      });
      client.on('notification', ({ payload }) => followers.get(payload ?? '')?.());
      try {
        await client.connect();
        await setLimits(client);
        await client.query(`LISTEN ${CHANNEL}`);
      } catch (error) {
        client.end().catch(() => undefined);
        throw error;
      }
      connection = client;
      return { lost };
    };

    const keepConnected = async ({ lost }: { lost: Promise<void> }) => {
      await lost;
      // Not awaited: a server that is silent does not respond to the end of the connection either.
      connection?.end().catch(() => undefined);
      connection = undefined;
      while (!closing.signal.aborted && !connection) {
        await setTimeout(RECONNECT_MS, undefined, { signal: closing.signal }).catch(() => undefined);
        if (closing.signal.aborted) return;
        const connected = await connect().catch(error => {
          app.log.debug({ err: error }, 'cannot connect to the database');
        });
        if (!connected) continue;
        for (const reload of followers.values()) reload();
        void keepConnected(connected);
      }
    };

    let last: Promise<unknown> = Promise.resolve();
    const ask = <T>(work: (db: Queryable) => Promise<T>): Promise<T> => {
      const result = last.then(async () => {
        const db = connection;
        if (!db) throw Object.assign(new Error('The connection to the database is lost.'), { code: 'ECONNRESET' });
        const askedAt = performance.now();
        try {
          const result = await work(db);
          outages.responded(askedAt);
          return result;
        } catch (error) {
          if (isDatabaseUnavailable(error) && connection === db) giveUp();
          throw error;
        }
      });
      last = result.catch(() => undefined);
      return result;
    };
    app.decorate('askDatabase', ask);

    app.decorate('follow', async (table, everyMs, load) => {
      await ask(load);
      let failing = false;
      const reload = coalesce(() =>
        ask(load).then(
          () => {
            if (failing) app.log.info({ table }, 'reading the database again');
            failing = false;
          },
          error => {
            if (!failing && !closing.signal.aborted) app.log.warn({ err: error, table }, 'cannot read the database');
            failing = true;
          },
        ),
      );
      followers.set(table, reload);
      const timer = setInterval(reload, everyMs).unref();
      closing.signal.addEventListener('abort', () => clearInterval(timer));
      return reload;
    });

    void keepConnected(await connect());
    app.addHook('onClose', async () => {
      closing.abort();
      await last;
      giveUp();
    });
  },
  { name: 'changes', dependencies: ['pool'] },
);

/** One run at a time. A call during a run shares the next run with all others. */
function coalesce(run: () => Promise<void>): () => Promise<void> {
  let latest = Promise.resolve();
  let queued: Promise<void> | undefined;
  return () => {
    if (!queued) {
      const turn = latest.then(() => {
        queued = undefined;
        latest = turn;
        return run();
      });
      queued = turn;
    }
    return queued;
  };
}
