import { transact } from '@latchkey/service-kit/database';
import fp from 'fastify-plugin';
import type { PoolClient } from 'pg';

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Adds a cleanup that is due every hour. Each batch is a transaction of its own; `true` asks for another one at once.
     * Replicas take turns, so that no two run a batch at the same time.
     */
    cleanHourly(batch: (client: PoolClient) => Promise<boolean>): void;
  }
}

const HOUR_MS = 3_600_000;
// A number that nothing else in the database locks: "sweep" in ASCII.
const LOCK = 0x7377656570;

/** Runs the cleanups that the capabilities add. */
export default fp(
  async app => {
    const cleanups: ((client: PoolClient) => Promise<boolean>)[] = [];
    app.decorate('cleanHourly', batch => void cleanups.push(batch));

    // The lock ends with the transaction, which suits PgBouncer.
    const runAlone = (batch: (client: PoolClient) => Promise<boolean>): Promise<boolean> =>
      transact(app.pg, async client => {
        const { rows } = await client.query('SELECT pg_try_advisory_xact_lock($1) AS mine', [LOCK]);
        return rows[0].mine ? batch(client) : false;
      });
    const clean = async () => {
      for (const batch of cleanups) while (await runAlone(batch));
    };
    const timer = setInterval(() => {
      clean().catch(error => app.log.warn({ err: error }, 'cannot clean the database up'));
    }, HOUR_MS);
    timer.unref();
    app.addHook('onClose', async () => clearInterval(timer));
  },
  { name: 'jobs', dependencies: ['pool'] },
);
