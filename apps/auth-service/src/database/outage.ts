import fp from 'fastify-plugin';
import type { SessionSettings } from '../config/sections/sessions.js';

/** Measures for how long the database has not responded. Times are of `performance.now()`, in milliseconds. */
export type OutageWatch = {
  /** Takes note that the database has responded to a statement that was sent at this time. */
  responded(at: number): void;
  /** How long the outage lasts, or lasted when it ended a moment ago; otherwise 0. */
  awayMs(): number;
};

declare module 'fastify' {
  interface FastifyInstance {
    outages: OutageWatch;
    /**
     * How long a used refresh token still gives its successor, in seconds: REFRESH_GRACE_S, and the length of an outage of the
     * database that lasts or ended less than REFRESH_GRACE_S ago, since no client could repeat its refresh meanwhile.
     */
    refreshGraceS(): number;
  }
}

// The service reads the database every second; a pause of garbage collection or a slow statement is no outage.
const AWAY_AFTER_MS = 3000;
// The longest outage that counts: a client that has not repeated its request by then will not.
const MAX_AWAY_MS = 300_000;

/** Notices outages of the database, and lengthens the grace period of refresh tokens by them. */
export default fp<{ config: Pick<SessionSettings, 'refreshGraceS'> }>(
  async (app, { config }) => {
    const outages = createOutageWatch(AWAY_AFTER_MS, config.refreshGraceS * 1000);
    app.decorate('outages', outages);
    app.decorate('refreshGraceS', () => config.refreshGraceS + Math.ceil(outages.awayMs() / 1000));
    // A statement of a request that succeeds shows as well that the database responds.
    app.pg.pool.on('release', (error: unknown) => {
      if (!error) outages.responded(performance.now());
    });
  },
  { name: 'outage', dependencies: ['pool'] },
);

/**
 * @param awayAfterMs a longer time without a response is an outage
 * @param rememberMs how long an outage is remembered; another one within that time adds to it
 * @param clock returns the time
 */
export function createOutageWatch(
  awayAfterMs: number,
  rememberMs: number,
  clock: () => number = performance.now.bind(performance),
): OutageWatch {
  let respondedAt = clock();
  let ended = { at: Number.NEGATIVE_INFINITY, lengthMs: 0 };
  const before = (at: number) => (at - ended.at <= rememberMs ? ended.lengthMs : 0);
  return {
    responded(at) {
      if (at < respondedAt) return;
      if (at - respondedAt > awayAfterMs) ended = { at, lengthMs: before(respondedAt) + at - respondedAt };
      respondedAt = at;
    },
    awayMs() {
      const now = clock();
      const silentMs = now - respondedAt;
      const awayMs = silentMs > awayAfterMs ? before(respondedAt) + silentMs : before(now);
      return Math.min(awayMs, MAX_AWAY_MS);
    },
  };
}
