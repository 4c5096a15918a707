import { transact } from '@latchkey/service-kit/database';
import fp from 'fastify-plugin';
import type { PoolClient } from 'pg';

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Adds a cleanup that runs every hour. Each batch is a transaction of its own; after one that resolves to `true`, the next
     * one runs at once. No two replicas run a batch at the same time.
     */
    cleanHourly(batch: (client: PoolClient) => Promise<boolean>): void;
  }
}

const HOUR_MS = 3_600_000;
// "sweep" in ASCII. Nothing else in the database locks this number.
const LOCK = 0x7377656570;

/** Runs the cleanups that the capabilities add. */
export default fp(
  async app => {
    const cleanups: ((client: PoolClient) => Promise<boolean>)[] = [];
    app.decorate('cleanHourly', batch => void cleanups.push(batch));

    // PgBouncer may give each transaction another connection, so the lock must end with the transaction.
    const runAlone = (batch: (client: PoolClient) => Promise<boolean>): Promise<boolean> =>
      transact(app.pg, async client => {
        const { rows } = await client.query('SELECT pg_try_advisory_xact_lock($1) AS mine', [LOCK]);
        return rows[0].mine ? batch(client) : false;
      });
    const clean = async () => {
      for (const batch of cleanups) {
        try {
          while (await runAlone(batch));
        } catch (error) {
          app.log.warn({ err: error }, 'cannot clean the database up');
        }
      }
    };
    const timer = setInterval(() => void clean(), HOUR_MS);
    timer.unref();
    app.addHook('onClose', async () => clearInterval(timer));
  },
  { name: 'jobs', dependencies: ['pool'] },
);
