import type { SignedIn } from '@latchkey/user-schema';
import { isAuthClientError, SignedOutError } from '../errors.js';
import type { SessionLock, StoredSession } from '../session-store.js';
import type { ReliableStore } from './reliable-store.js';
import { withLock } from './store-lock.js';

export type KeptSessionOptions = {
  store: ReliableStore;
  lock: SessionLock;
  minValidityMs: number;
  refresh: (refreshToken: string) => Promise<SignedIn>;
  onSignedOut: (() => void) | undefined;
};

/** A session in a store, whose tokens are refreshed when needed. */
export type KeptSession = {
  /** Returns the session with a token that is valid, as {@link UserSession.token} describes. */
  current(): Promise<StoredSession>;
  load(): Promise<StoredSession | undefined>;
  /** Makes the next `current()` refresh, if the session still has this token. */
  invalidate(token: string): Promise<void>;
  /** Keeps the session that a request starts, in place of another one. */
  start(request: () => Promise<SignedIn>): Promise<StoredSession>;
  /** Keeps the tokens that a request returns for the same session. */
  replace(request: (token: string) => Promise<SignedIn>): Promise<StoredSession>;
  /** Runs a request that changes what the next tokens say, and refreshes the session. */
  change<T>(request: (token: string) => Promise<T>): Promise<T>;
  /** Runs a request that may end the session, and then forgets it. */
  end(request: (token: string) => Promise<void>, forget: boolean): Promise<void>;
};

// How long no other refresh is tried after one has failed and the token is still valid.
const COOLDOWN_MS = 5000;

export function createKeptSession(options: KeptSessionOptions): KeptSession {
  const { lock, minValidityMs, onSignedOut } = options;
  const { load, save } = options.store;
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
  const renew = (refreshToken: string) => requestSession(() => options.refresh(refreshToken));

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

  return {
    load,
    async current() {
      const stored = await load();
      if (!stored) throw new SignedOutError();
      if (isFresh(stored) || (isValid(stored) && performance.now() < retryAt)) return stored;
      refreshing ??= withLock(lock, refresh).finally(() => {
        refreshing = undefined;
      });
      return refreshing;
    },
    invalidate: token =>
      withLock(lock, async () => {
        const stored = await load();
        retryAt = 0;
        if (stored?.token === token) await save({ ...stored, renewAt: 0 });
      }),
    start: request => withLock(lock, () => requestSession(request)),
    replace: request =>
      withLock(lock, async () => {
        const stored = await refresh();
        try {
          return await requestSession(() => request(stored.token));
        } catch (error) {
          // It may have been done and its response lost: the stored refresh token is then valid for some seconds.
          const isUnknown = isAuthClientError(error) && (error.problem?.status ?? 500) >= 500;
          if (isUnknown) await renew(stored.refreshToken).catch(() => undefined);
          throw error;
        }
      }),
    change: request =>
      withLock(lock, async () => {
        const stored = await refresh();
        const result = await request(stored.token);
        retryAt = 0;
        // What the request has returned must not be lost with a refresh that fails: the next `current()` tries again.
        await renew(stored.refreshToken).catch(() => save({ ...stored, renewAt: 0 }));
        return result;
      }),
    end: (request, forget) =>
      withLock(lock, async () => {
        try {
          await request((await refresh()).token);
        } catch (error) {
          const hasEnded = isAuthClientError(error) && (error.code === 'signed_out' || error.code === 'invalid_token');
          if (!hasEnded) throw error;
        }
        if (forget) await save(undefined);
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
