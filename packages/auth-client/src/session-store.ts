import type { User } from '@latchkey/user-schema';

/**
 * A session as a store keeps it: plain JSON. Its tokens sign in as the user, so the store must protect them like a password.
 * Times are in milliseconds since 1970 by this machine's clock.
 */
export interface StoredSession {
  token: string;
  refreshToken: string;
  /** When the access token is to be refreshed. */
  renewAt: number;
  /** When the access token expires. */
  expiresAt: number;
  user: User;
}

/** Keeps a user's session, for example in `localStorage`. Both methods may be synchronous or return a promise. */
export interface SessionStore {
  /** Distinguishes stores that hold different sessions: each name has a Web Lock of its own. By default all share one. */
  name?: string;
  /** Returns what was saved last; a value that is not a {@link StoredSession} counts as no session. */
  load(): unknown;
  /** Saves the session; `undefined` when the user has signed out or the session has ended. */
  save(session: StoredSession | undefined): unknown;
}

/** Runs `work` while no other holder of the lock runs, and settles as `work` does. */
export type SessionLock = <T>(work: () => Promise<T>) => Promise<T>;
