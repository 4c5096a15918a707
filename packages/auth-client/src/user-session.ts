import type { PasswordChange, SignedIn, SignInRequest, SignOutScope, SignUpRequest, User } from '@latchkey/user-schema';
import type { AuthClient, SignUpOptions } from './client.js';
import { isAuthClientError, SignedOutError, SignUpPendingError } from './errors.js';
import { createMemoryStore, createReliableStore } from './lib/reliable-store.js';
import { lockOfStore, queueOfStore, withLock } from './lib/store-lock.js';
import type { SessionLock, SessionStore, StoredSession } from './session-store.js';

/** Options of {@link createUserSession}. */
export interface UserSessionOptions {
  /** Where the session is kept; in memory by default. */
  store?: SessionStore;
  /**
   * Keeps the users of a store from refreshing at the same time. By default Web Locks where the runtime has them, otherwise
   * a queue in this process; always the queue for the store in memory.
   */
  lock?: SessionLock;
  /**
   * How long a token is valid at least when `token()` returns it, in milliseconds; 30,000 by default, and at most half of
   * its lifetime.
   */
  minValidityMs?: number;
  /**
   * Called when a refresh shows that the session has ended, so that the user must sign in again. Not called by
   * {@link UserSession.signOut}.
   */
  onSignedOut?: () => void;
  /** Called with the store's error when it fails to save; the session is then kept in memory. */
  onWarning?: (error: unknown) => void;
}

/**
 * The session of one user. Every method may reject with an {@link AuthClientError}, or with the error of a store that cannot
 * be read.
 */
export interface UserSession {
  /**
   * Returns an access token, refreshed when needed: once for all concurrent callers, in this process and in other tabs.
   * While the service is unavailable, the current token is returned until it expires.
   *
   * @throws SignedOutError when the user is not signed in, or the session has ended
   */
  token(): Promise<string>;
  /**
   * Makes the next `token()` refresh. For a token that a service rejected although it has not expired, as happens when this
   * machine's clock was changed.
   *
   * @param token - the rejected one; nothing happens when it is not the current one any more
   */
  invalidate(token: string): Promise<void>;
  /** Returns the user who is signed in, as stored: no request is made. */
  user(): Promise<User | undefined>;
  /**
   * Creates an account and signs it in, as {@link AuthClient.signUp}. With an `idempotencyKey`, a form can be sent again.
   *
   * @throws AuthProblemError, SignUpPendingError, AuthTransportError, TypeError as `AuthClient.signUp` does
   */
  signUp(account: SignUpRequest, options?: SignUpOptions): Promise<User>;
  /**
   * Creates an account and signs it in, or returns `pending`, as {@link AuthClient.requestSignUp}. Then the session in the
   * store, if any, is left as it is.
   *
   * @throws AuthProblemError, AuthTransportError, TypeError as `AuthClient.requestSignUp` does
   */
  requestSignUp(account: SignUpRequest, options?: SignUpOptions): Promise<User | 'pending'>;
  /**
   * Signs in, as {@link AuthClient.signIn}. Another session in the store is replaced, but not ended.
   *
   * @throws AuthProblemError `invalid_credentials`
   */
  signIn(credentials: SignInRequest): Promise<User>;
  /**
   * Ends sessions of the account. Does nothing when the user is not signed in. When it rejects, because the service is
   * unavailable, the session is kept, so that it can be called again.
   *
   * @param scope - `current` (the default) ends this session, `others` all but this one, `all` every one
   */
  signOut(scope?: SignOutScope): Promise<void>;
  /**
   * Changes the password and ends the account's other sessions; this one continues.
   *
   * @throws SignedOutError when the user is not signed in, or the session has ended
   * @throws AuthProblemError `invalid_credentials` (the current password is wrong) or `password_rejected`
   */
  changePassword(change: PasswordChange): Promise<User>;
}

// How long no other refresh is tried after one has failed and the token is still valid.
const COOLDOWN_MS = 5000;

/**
 * Keeps a user signed in:
 *
 * ```ts
 * const session = createUserSession(auth, { onSignedOut: showSignIn });
 * await session.signIn({ username, password });
 * await fetch(url, { headers: { authorization: `Bearer ${await session.token()}` } });
 * ```
 *
 * @param client - where the session signs in and refreshes
 */
export function createUserSession(client: AuthClient, options: UserSessionOptions = {}): UserSession {
  const { store = createMemoryStore(), minValidityMs = 30_000, onSignedOut } = options;
  // No other tab can use the store in memory, so a lock across tabs would only delay them.
  const lock = options.lock ?? (options.store ? lockOfStore(store) : queueOfStore(store));
  // In a microtask: an error that a callback throws is the application's, and must not fail the request.
  const { load, save } = createReliableStore(store, error => queueMicrotask(() => options.onWarning?.(error)));
  let refreshing: Promise<StoredSession> | undefined;
  let retryAt = 0;

  const isFresh = ({ renewAt }: StoredSession) => Date.now() < renewAt;
  const isValid = ({ expiresAt }: StoredSession) => Date.now() < expiresAt;

  const requestSession = async (request: () => Promise<SignedIn>): Promise<StoredSession> => {
    const requestedAt = Date.now();
    const session = toStoredSession(await request(), requestedAt, minValidityMs);
    await save(session);
    return session;
  };
  const renew = (refreshToken: string) => requestSession(() => client.refresh(refreshToken));

  /** Runs under the lock. Reads the store first: another tab may have refreshed meanwhile. */
  const refresh = async (): Promise<StoredSession> => {
    const stored = await load();
    if (!stored) throw new SignedOutError();
    if (isFresh(stored)) return stored;
    try {
      return await renew(stored.refreshToken);
    } catch (error) {
      if (!isAuthClientError(error) || error.code !== 'invalid_refresh_token') {
        // An outage must not sign anybody out.
        if (!isValid(stored)) throw error;
        retryAt = performance.now() + COOLDOWN_MS;
        return stored;
      }
      // A user of the store that does not share the lock may have signed in meanwhile.
      if ((await load())?.refreshToken !== stored.refreshToken) return refresh();
      await save(undefined);
      if (onSignedOut) queueMicrotask(onSignedOut);
      throw new SignedOutError({ cause: error });
    }
  };

  const currentSession = async (): Promise<StoredSession> => {
    const stored = await load();
    if (!stored) throw new SignedOutError();
    if (isFresh(stored) || (isValid(stored) && performance.now() < retryAt)) return stored;
    refreshing ??= withLock(lock, refresh).finally(() => {
      refreshing = undefined;
    });
    return refreshing;
  };

  return {
    token: async () => (await currentSession()).token,
    invalidate: token =>
      withLock(lock, async () => {
        const stored = await load();
        retryAt = 0;
        if (stored?.token === token) await save({ ...stored, renewAt: 0 });
      }),
    user: async () => (await load())?.user,
    signUp: (account, options) =>
      withLock(lock, async () => (await requestSession(() => client.signUp(account, options))).user),
    requestSignUp: (account, options) =>
      withLock(lock, async () => {
        try {
          return (await requestSession(() => client.signUp(account, options))).user;
        } catch (error) {
          if (error instanceof SignUpPendingError) return 'pending';
          throw error;
        }
      }),
    signIn: credentials => withLock(lock, async () => (await requestSession(() => client.signIn(credentials))).user),
    signOut: scope =>
      withLock(lock, async () => {
        try {
          await client.signOut((await refresh()).token, scope);
        } catch (error) {
          const hasEnded = isAuthClientError(error) && (error.code === 'signed_out' || error.code === 'invalid_token');
          if (!hasEnded) throw error;
        }
        if (scope !== 'others') await save(undefined);
      }),
    changePassword: change =>
      withLock(lock, async () => {
        const stored = await refresh();
        try {
          return (await requestSession(() => client.changePassword(stored.token, change))).user;
        } catch (error) {
          // The change may have been made and its response lost: the stored refresh token is then valid for some seconds.
          const isUnknown = isAuthClientError(error) && (error.problem?.status ?? 500) >= 500;
          if (isUnknown) await renew(stored.refreshToken).catch(() => undefined);
          throw error;
        }
      }),
  };
}

/** The session as it is stored, from the response to a request that was made at `requestedAt`. */
function toStoredSession(signedIn: SignedIn, requestedAt: number, minValidityMs: number): StoredSession {
  const { token, refreshToken, user } = signedIn;
  const lifetimeMs = signedIn.expiresIn * 1000;
  const renewAt = requestedAt + Math.max(lifetimeMs - minValidityMs, lifetimeMs / 2);
  return { token, refreshToken, renewAt, expiresAt: requestedAt + lifetimeMs, user };
}
