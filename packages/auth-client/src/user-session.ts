import type { Credentials, PasswordChange, SignedIn, SignOutScope, User } from '@latchkey/user-schema';
import type { AuthClient, SignUpOptions } from './client.js';
import { isAuthClientError, SignedOutError } from './errors.js';
import { lockOf, queueOf, type SessionLock, withLock } from './session-lock.js';
import { createKeeper, createMemoryStore, type SessionStore, type StoredSession, toStored } from './session-store.js';

/** Options of {@link createUserSession}. */
export interface UserSessionOptions {
  /** Where the session is kept; in memory by default. */
  store?: SessionStore;
  /**
   * What keeps those who share the store from refreshing at once. By default Web Locks where the runtime has them, and a
   * queue in this process otherwise or for the store in memory.
   */
  lock?: SessionLock;
  /** How long a token is good for when it is given, in milliseconds; 30,000 by default, and half of its life at most. */
  minValidityMs?: number;
  /** Told when the session turned out to have ended: the user must sign in again. Not told of a sign-out through here. */
  onSignedOut?: () => void;
  /** Told when the store failed to save; the session then goes on in memory. */
  onWarning?: (error: unknown) => void;
}

/**
 * One user's session. Besides what is said, everything may reject with an {@link AuthClientError}, and with what the store
 * throws when it cannot be read.
 */
export interface UserSession {
  /**
   * Gives an access token, refreshed when needed: once for all who ask at once, here and in other tabs. While the service
   * is away, the token before is given for as long as it lives.
   *
   * @throws SignedOutError when nobody is signed in, or not any more
   */
  token(): Promise<string>;
  /**
   * Has the next token refreshed, when a service refused this one although it should be good: the clock may have been
   * changed. Does nothing when it is not the one held.
   */
  invalidate(token: string): Promise<void>;
  /** Tells who is signed in, without asking the service. */
  user(): Promise<User | undefined>;
  /** Makes an account and signs it in; with a key of yours, a form may be sent again. */
  signUp(credentials: Credentials, options?: SignUpOptions): Promise<User>;
  /** Signs in; what was kept of another session is forgotten, but that session is not ended. */
  signIn(credentials: Credentials): Promise<User>;
  /**
   * Ends this session (by default), the others, or all. Does nothing when nobody is signed in. When the service cannot be
   * reached it rejects, and the session is kept so that the call can be made again.
   */
  signOut(scope?: SignOutScope): Promise<void>;
  /** Changes the password; every other session ends, and this one goes on. */
  changePassword(change: PasswordChange): Promise<User>;
}

// While the token still lives, a service that is away is not asked more often.
const COOLDOWN_MS = 5000;

/**
 * Keeps a user signed in:
 *
 * ```ts
 * const session = createUserSession(auth, { onSignedOut: showSignIn });
 * await session.signIn({ username, password });
 * await fetch(url, { headers: { authorization: `Bearer ${await session.token()}` } });
 * ```
 */
export function createUserSession(client: AuthClient, options: UserSessionOptions = {}): UserSession {
  const { store = createMemoryStore(), minValidityMs = 30_000, onSignedOut } = options;
  // The default store belongs to one session: locks that span the tabs would only stand in the way of others.
  const lock = options.lock ?? (options.store ? lockOf(store) : queueOf(store));
  // Whatever a callback throws is its owner's to see, and must not stop what goes on here.
  const { load, save } = createKeeper(store, error => queueMicrotask(() => options.onWarning?.(error)));
  let refreshing: Promise<StoredSession> | undefined;
  let retryAt = 0;

  const isGood = ({ renewAt }: StoredSession) => Date.now() < renewAt;
  const isAlive = ({ expiresAt }: StoredSession) => Date.now() < expiresAt;

  const keep = async (call: () => Promise<SignedIn>): Promise<StoredSession> => {
    const askedAt = Date.now();
    const session = toStored(await call(), askedAt, minValidityMs);
    await save(session);
    return session;
  };
  const renew = (refreshToken: string) => keep(() => client.refresh(refreshToken));

  /** To be run under the lock. Looks at the store first: another tab may have been here. */
  const refresh = async (): Promise<StoredSession> => {
    const held = await load();
    if (!held) throw new SignedOutError();
    if (isGood(held)) return held;
    try {
      return await renew(held.refreshToken);
    } catch (error) {
      if (!isAuthClientError(error) || error.code !== 'invalid_refresh_token') {
        // An outage must not sign anybody out.
        if (!isAlive(held)) throw error;
        retryAt = performance.now() + COOLDOWN_MS;
        return held;
      }
      // Somebody else, who did not wait for the lock, may have signed in meanwhile.
      if ((await load())?.refreshToken !== held.refreshToken) return refresh();
      await save(undefined);
      if (onSignedOut) queueMicrotask(onSignedOut);
      throw new SignedOutError({ cause: error });
    }
  };

  const current = async (): Promise<StoredSession> => {
    const held = await load();
    if (!held) throw new SignedOutError();
    if (isGood(held) || (isAlive(held) && performance.now() < retryAt)) return held;
    refreshing ??= withLock(lock, refresh).finally(() => {
      refreshing = undefined;
    });
    return refreshing;
  };

  return {
    token: async () => (await current()).token,
    invalidate: refused =>
      withLock(lock, async () => {
        const held = await load();
        retryAt = 0;
        if (held?.token === refused) await save({ ...held, renewAt: 0 });
      }),
    user: async () => (await load())?.user,
    signUp: (credentials, call) =>
      withLock(lock, async () => (await keep(() => client.signUp(credentials, call))).user),
    signIn: credentials => withLock(lock, async () => (await keep(() => client.signIn(credentials))).user),
    signOut: scope =>
      withLock(lock, async () => {
        try {
          await client.signOut((await refresh()).token, scope);
        } catch (error) {
          const isOver = isAuthClientError(error) && (error.code === 'signed_out' || error.code === 'invalid_token');
          if (!isOver) throw error;
        }
        if (scope !== 'others') await save(undefined);
      }),
    changePassword: change =>
      withLock(lock, async () => {
        const held = await refresh();
        try {
          return (await keep(() => client.changePassword(held.token, change))).user;
        } catch (error) {
          // Perhaps it was done, and the answer lost. Then the refresh token held is good for some seconds only.
          const isUnknown = isAuthClientError(error) && (error.problem?.status ?? 500) >= 500;
          if (isUnknown) await renew(held.refreshToken).catch(() => undefined);
          throw error;
        }
      }),
  };
}
