/** Knows for how long the database has not responded. Times are of `performance.now()`, in milliseconds. */
export type OutageWatch = {
  /** Takes note that the database has responded to a statement that was sent at this time. */
  responded(at: number): void;
  /** How long the database was away, when it is now, or was until a moment ago; otherwise 0. */
  awayMs(): number;
};

// The most that counts of an outage: a caller that has not repeated its request by then will not.
const MAX_AWAY_MS = 300_000;

/**
 * @param awayAfterMs a database that takes longer to respond is away
 * @param rememberMs how long an outage is remembered; another one within that time adds to it
 * @param clock tells the time
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
