import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { User } from '@latchkey/user-schema';
import type { FastifyRequest, preHandlerAsyncHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import { uuidv7 } from 'uuidv7';
import type { WithConfig } from '../config.js';
import { findSessionUser, type NewSession, sweepSessions } from '../data/sessions.js';
import { InvalidTokenError } from '../errors.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** A session for whoever sends this request. */
    newSession(request: FastifyRequest): NewSession;
    /** Hook behind `authenticate` that asks the database whether the session is alive, and sets `request.account`. */
    requireSession: preHandlerAsyncHookHandler;
  }
  interface FastifyRequest {
    account: User;
  }
}

const USER_AGENT_LENGTH = 256;
const SWEEP_EVERY_MS = 3_600_000;
const SWEEP_BATCH = 1000;
// Any number that nobody else in the database locks: "sweep" in ASCII.
const SWEEP_LOCK = 0x7377656570;
const FIRST_ID = '00000000-0000-0000-0000-000000000000';

/** Begins sessions, asks for live ones, and sweeps away what ended. */
export default fp<WithConfig>(
  async (app, { config }) => {
    app.decorate('newSession', request => ({
      id: uuidv7(),
      salt: randomBytes(16),
      idleS: config.refreshTokenTtlS,
      maxAgeS: config.sessionMaxAgeS,
      userAgent: request.headers['user-agent']?.slice(0, USER_AGENT_LENGTH) ?? null,
      address: addressOf(request),
    }));

    app.decorateRequest('account');
    app.decorate('requireSession', async request => {
      const account = await findSessionUser(app.pg, request.user.sid);
      if (!account) throw new InvalidTokenError();
      request.account = account;
    });

    // One replica at a time, a batch a transaction; the lock ends with it, which suits PgBouncer.
    const sweep = async () => {
      let after: string | undefined = FIRST_ID;
      while (after !== undefined) {
        const from: string = after;
        after = await app.pg.transact(async client => {
          const { rows } = await client.query('SELECT pg_try_advisory_xact_lock($1) AS mine', [SWEEP_LOCK]);
          return rows[0].mine ? sweepSessions(client, from, SWEEP_BATCH) : undefined;
        });
      }
    };
    const timer = setInterval(() => {
      sweep().catch(error => app.log.warn({ err: error }, 'cannot sweep sessions'));
    }, SWEEP_EVERY_MS);
    timer.unref();
    app.addHook('onClose', async () => clearInterval(timer));
  },
  { name: 'sessions', dependencies: ['database', 'tokens'] },
);

/** The caller's IP address without an IPv6 zone, which PostgreSQL's `inet` does not take. */
function addressOf({ ip }: FastifyRequest): string | null {
  const [address = ''] = ip.split('%');
  return isIP(address) ? address : null;
}
