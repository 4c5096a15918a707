/** Remembers when the database could not be heard. Times are of `performance.now()`, in milliseconds. */
export type OutageWatch = {
  /** The database has answered what it was asked at this time. */
  heard(at: number): void;
  heardAt(): number;
  /** How long the database was away, when it is now, or was until a moment ago; otherwise 0. */
  awayMs(): number;
};

// However long it was: whoever has not come back by then will not.
const MAX_AWAY_MS = 300_000;

/**
 * @param awayAfterMs how long nothing is heard of a database that is there, at most
 * @param rememberMs how long an outage is remembered; another one within that time adds to it
 */
export function createOutageWatch(awayAfterMs: number, rememberMs: number): OutageWatch {
  let heardAt = performance.now();
  let ended = { at: Number.NEGATIVE_INFINITY, lengthMs: 0 };
  const before = (at: number) => (at - ended.at <= rememberMs ? ended.lengthMs : 0);
  return {
    heard(at) {
      if (at < heardAt) return;
      if (at - heardAt > awayAfterMs) ended = { at, lengthMs: before(heardAt) + at - heardAt };
      heardAt = at;
    },
    heardAt: () => heardAt,
    awayMs() {
      const now = performance.now();
      const silentMs = now - heardAt;
      const awayMs = silentMs > awayAfterMs ? before(heardAt) + silentMs : before(now);
      return Math.min(awayMs, MAX_AWAY_MS);
    },
  };
}
