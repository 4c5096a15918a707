import fp from 'fastify-plugin';
import type { DatabaseSettings } from '../config/sections/database.js';
import type { SessionSettings } from '../config/sections/sessions.js';
import { DatabaseNotReadyError } from '../http/errors.js';
import changes from './changes.js';
import jobs from './jobs.js';
import outage from './outage.js';
import pool from './pool.js';
import { assertWritable } from './sql.js';

/** The database: migrated, with a pool of connections, followers of its changes and cleanups. */
export default fp<{ config: DatabaseSettings & Pick<SessionSettings, 'refreshGraceS'> }>(
  async (app, { config }) => {
    await app.register(pool, { config });
    await app.register(outage, { config });
    await app.register(changes, { config });
    await app.register(jobs);

    // Requests that arrive meanwhile share one query. It does not use the pool, whose connections requests may use up.
    let asking: Promise<void> | undefined;
    app.requireForReadiness(
      async () => {
        asking ??= app.askDatabase(assertWritable).finally(() => {
          asking = undefined;
        });
        await asking.catch(cause => {
          throw new DatabaseNotReadyError({ cause });
        });
      },
      { ofDatabase: true },
    );
  },
  { name: 'database', dependencies: ['metrics'] },
);
