/** Remembers when the database did not answer. Times are of `performance.now()`, in milliseconds. */
export type OutageWatch = {
  /** The database has answered what it was asked at this time. */
  heard(at: number): void;
  /** How long the database was away, when it is now, or was until a moment ago; otherwise 0. */
  awayMs(): number;
};

// However long it was: a caller that has not asked again by then will not.
const MAX_AWAY_MS = 300_000;

/**
 * @param awayAfterMs a database that answers does so within this time
 * @param rememberMs how long an outage is remembered; another one within that time adds to it
 * @param clock tells the time
 */
export function createOutageWatch(
  awayAfterMs: number,
  rememberMs: number,
  clock: () => number = performance.now.bind(performance),
): OutageWatch {
  let heardAt = clock();
  let ended = { at: Number.NEGATIVE_INFINITY, lengthMs: 0 };
  const before = (at: number) => (at - ended.at <= rememberMs ? ended.lengthMs : 0);
  return {
    heard(at) {
      if (at < heardAt) return;
      if (at - heardAt > awayAfterMs) ended = { at, lengthMs: before(heardAt) + at - heardAt };
      heardAt = at;
    },
    awayMs() {
      const now = clock();
      const silentMs = now - heardAt;
      const awayMs = silentMs > awayAfterMs ? before(heardAt) + silentMs : before(now);
      return Math.min(awayMs, MAX_AWAY_MS);
    },
  };
}
