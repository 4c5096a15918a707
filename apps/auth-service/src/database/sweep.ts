import fp from 'fastify-plugin';
import type { PoolClient } from 'pg';
import { sweepSignUpKeys } from '../accounts/sign-up-keys.js';
import type { WithConfig } from '../config/settings.js';
import { sweepEvents } from '../events/audit-events.js';
import { sweepKeys } from '../keys/stored-keys.js';
import { sweepRevocations } from '../revocations/stored-revocations.js';
import { sweepSessions } from '../sessions/stored-sessions.js';
import { sweepThrottles } from '../throttles/postgres-store.js';
import { transact } from './sql.js';

const SWEEP_EVERY_MS = 3_600_000;
const BATCH = 1000;
// After a mass sign-out there are many, and no index leads to them.
const REVOCATIONS = 10_000;
// Any number that nobody else in the database locks: "sweep" in ASCII.
const LOCK = 0x7377656570;
const FIRST_ID = '00000000-0000-0000-0000-000000000000';

/** Sweeps away what is over: ended sessions, revocations, gone keys, throttles, keys of sign-ups and old audit events. */
export default fp<WithConfig>(
  async (app, { config }) => {
    /** One replica at a time, a batch a transaction; the lock ends with it, which suits PgBouncer. */
    const alone = <T>(batch: (client: PoolClient) => Promise<T>): Promise<T | undefined> =>
      transact(app.pg, async client => {
        const { rows } = await client.query('SELECT pg_try_advisory_xact_lock($1) AS mine', [LOCK]);
        return rows[0].mine ? batch(client) : undefined;
      });

    const sweep = async () => {
      await alone(sweepKeys);
      while ((await alone(client => sweepRevocations(client, REVOCATIONS))) === REVOCATIONS);
      while ((await alone(client => sweepThrottles(client, BATCH))) === BATCH);
      while ((await alone(client => sweepSignUpKeys(client, BATCH))) === BATCH);
      let after: string | undefined = FIRST_ID;
      while (after !== undefined) {
        const from: string = after;
        after = await alone(client => sweepSessions(client, from, BATCH));
      }
      const days = config.auditRetentionDays;
      while (days > 0 && (await alone(client => sweepEvents(client, days, BATCH))) === BATCH);
    };
    const timer = setInterval(() => {
      sweep().catch(error => app.log.warn({ err: error }, 'cannot sweep the database'));
    }, SWEEP_EVERY_MS);
    timer.unref();
    app.addHook('onClose', async () => clearInterval(timer));
  },
  { name: 'sweep', dependencies: ['database'] },
);
