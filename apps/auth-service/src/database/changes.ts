import type { Queryable } from '@latchkey/service-kit/database';
import fp from 'fastify-plugin';
import type { DatabaseSettings } from '../config/sections/database.js';
import { type Listener, startListener } from './listener.js';

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Keeps a copy of a table up to date: loads it now, when the database notifies of a change, when the connection is open
     * again after it was lost, and at an interval, in case a notification is lost.
     *
     * @returns a function that loads it now and resolves afterwards, also when that failed
     */
    follow(table: string, everyMs: number, load: (db: Queryable) => Promise<void>): Promise<() => Promise<void>>;
    /** Runs work on the service's own connection; see {@link Listener.ask}. */
    askDatabase: Listener['ask'];
  }
}

/** Follows the changes of tables, on one connection to the database that belongs to the service itself. */
export default fp<{ config: DatabaseSettings }>(
  async (app, { config }) => {
    const followers = new Map<string, () => Promise<void>>();
    const closing = new AbortController();
    const listener = await startListener({
      databaseUrl: config.databaseUrl,
      log: app.log,
      onNotification: table => followers.get(table)?.(),
      onReconnect: () => followers.forEach(reload => void reload()),
    });
    app.addHook('onClose', async () => {
      closing.abort();
      await listener.close();
    });

    const ask: Listener['ask'] = work =>
      listener.ask(async db => {
        const askedAt = performance.now();
        const result = await work(db);
        app.outages.responded(askedAt);
        return result;
      });
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
  },
  { name: 'changes', dependencies: ['outage'] },
);

/** Runs one at a time. All calls during a run share the next run. */
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
