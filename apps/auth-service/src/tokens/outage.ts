/** Remembers when the database could not be heard. Times are of `performance.now()`, in milliseconds. */
export type OutageWatch = {
  /** The database has answered what it was asked at this time. */
  heard(at: number): void;
  heardAt(): number;
  /** How long the database was away, when it is now, or was until a moment ago; otherwise 0. */
  awayMs(): number;
};

/**
 * @param awayAfterMs how long nothing is heard of a database that is there, at most
 * @param rememberMs how long an outage is remembered; another one within that time continues it
 */
export function createOutageWatch(awayAfterMs: number, rememberMs: number): OutageWatch {
  let heardAt = performance.now();
  let since = Number.NEGATIVE_INFINITY;
  let until = Number.NEGATIVE_INFINITY;
  return {
    heard(at) {
      if (at - heardAt > awayAfterMs) {
        if (heardAt - until > rememberMs) since = heardAt;
        until = at;
      }
      heardAt = at;
    },
    heardAt: () => heardAt,
    awayMs() {
      const now = performance.now();
      const isAway = now - heardAt > awayAfterMs;
      const wasAway = heardAt - until <= rememberMs;
      if (isAway) return now - (wasAway ? since : heardAt);
      return now - until <= rememberMs ? until - since : 0;
    },
  };
}
