import { setTimeout } from 'node:timers/promises';
import fp from 'fastify-plugin';
import pg from 'pg';
import type { WithConfig } from '../config.js';

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Keeps a copy of a table up to date: loads it now, when the database says that it has changed, and every so often
     * for the case that a notification is lost.
     *
     * @returns a function that loads it now and resolves afterwards, also when that failed
     */
    follow(table: string, everyMs: number, load: () => Promise<void>): Promise<() => Promise<void>>;
  }
}

const CHANNEL = 'latchkey_auth';
const RECONNECT_MS = 1000;

/** Listens to the database on a connection of its own. */
export default fp<WithConfig>(
  async (app, { config }) => {
    const followers = new Map<string, () => Promise<void>>();
    const closing = new AbortController();

    app.decorate('follow', async (table, everyMs, load) => {
      await load();
      let failing = false;
      const reload = coalesce(() =>
        load().then(
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

    const listen = async () => {
      const client = new pg.Client({
        connectionString: config.databaseUrl,
        connectionTimeoutMillis: 5000,
        keepAlive: true,
      });
      const stop = () => client.end().catch(() => undefined);
      try {
        const ended = new Promise<void>(resolve => client.once('end', resolve).on('error', () => resolve()));
        client.on('notification', ({ payload }) => followers.get(payload ?? '')?.());
        closing.signal.addEventListener('abort', stop);
        await client.connect();
        await client.query(`LISTEN ${CHANNEL}`);
        // What was notified while nobody listened.
        for (const reload of followers.values()) reload();
        await ended;
      } finally {
        closing.signal.removeEventListener('abort', stop);
        await stop();
      }
    };
    const keepListening = async () => {
      while (!closing.signal.aborted) {
        await listen().catch(error => app.log.debug({ err: error }, 'cannot listen to the database'));
        await setTimeout(RECONNECT_MS, undefined, { signal: closing.signal }).catch(() => undefined);
      }
    };
    app.addHook('onReady', done => {
      void keepListening();
      done();
    });
    app.addHook('onClose', async () => closing.abort());
  },
  { name: 'changes', dependencies: ['database'] },
);

/** One run at a time. Whoever calls during a run waits for the next one, which all of them share. */
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
