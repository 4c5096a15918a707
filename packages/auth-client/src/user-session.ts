import type {
  AddedPasskey,
  AddPasskeyRequest,
  PasskeySignInRequest,
  PasskeySignUpRequest,
  PasswordChange,
  RecoveryCodes,
  SecondFactorRequest,
  SignInRequest,
  SignOutScope,
  SignUpRequest,
  StepUpProof,
  TotpConfirmation,
  User,
} from '@latchkey/user-schema';
import type { AuthClient, SignUpOptions } from './client.js';
import { SignUpPendingError } from './errors.js';
import type { AuthenticationNeeded } from './lib/challenge.js';
import { createKeptSession } from './lib/kept-session.js';
import { createMemoryStore, createReliableStore } from './lib/reliable-store.js';
import { createSessionChanges, type SessionListener } from './lib/session-changes.js';
import { createSessionFetch, pageOrigin } from './lib/session-fetch.js';
import { createStepUpOnce } from './lib/step-up-once.js';
import { lockOfStore, nameOfStore, queueOfStore } from './lib/store-lock.js';
import type { SessionLock, SessionStore } from './session-store.js';

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
  /**
   * Called when a request of {@link UserSession.withToken} needs a sign-in that is stronger or less old: once for all requests
   * at that time. Ask the user, and return the proof; `undefined` when the user does not want to, and the request is then
   * rejected as it was.
   *
   * @param needed - `acr` is the claim that the token needs, `aal2` for a second factor or a passkey; `maxAgeS` is how long ago
   *   the user may have proved it, in seconds
   */
  onStepUp?: (needed: { acr?: string; maxAgeS?: number }) => Promise<StepUpProof | undefined> | StepUpProof | undefined;
  /** Called with the store's error when it fails to save; the session is then kept in memory. */
  onWarning?: (error: unknown) => void;
  /**
   * Origins of services that {@link UserSession.fetch} may send the token to, such as `https://api.example.com`, beside the page's
   * own and that of the auth-service.
   */
  origins?: readonly string[];
  /** Replaces the global `fetch` in {@link UserSession.fetch}. */
  fetch?: typeof globalThis.fetch;
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
   * @throws SecondFactorRequiredError when the account has a second factor: call {@link UserSession.completeSignIn} with its
   *   challenge. Nothing is stored until then.
   */
  signIn(credentials: SignInRequest): Promise<User>;
  /**
   * Completes a sign-in by a second factor, as {@link AuthClient.completeSignIn}.
   *
   * @throws AuthProblemError `invalid_second_factor`, `invalid_challenge` or `too_many_requests`
   */
  completeSignIn(proof: SecondFactorRequest): Promise<User>;
  /**
   * Signs in with a passkey, as {@link AuthClient.signInWithPasskey}.
   *
   * @throws AuthProblemError `invalid_passkey`
   */
  signInWithPasskey(assertion: PasskeySignInRequest): Promise<User>;
  /**
   * Creates an account with a passkey and signs it in, as {@link AuthClient.signUpWithPasskey}.
   *
   * @throws AuthProblemError `invalid_passkey`, `username_taken` or `sign_up_closed`
   */
  signUpWithPasskey(signUp: PasskeySignUpRequest): Promise<User>;
  /**
   * Proves again who is signed in, as {@link AuthClient.stepUp}, and keeps the new tokens. With `onStepUp`,
   * {@link UserSession.withToken} does so when it is needed.
   *
   * @throws SignedOutError when the user is not signed in, or the session has ended
   * @throws AuthProblemError `invalid_credentials`, `invalid_second_factor`, `too_many_requests` or
   *   `insufficient_user_authentication`
   */
  stepUp(proof: StepUpProof): Promise<User>;
  /**
   * Runs a request with the token. When the service finds the sign-in behind the token too weak or too old (RFC 9470), calls
   * `onStepUp`, steps up, and runs the request once more. Requests that are refused at the same time share one step-up.
   *
   * ```ts
   * await session.withToken(token => auth.removeTotp(token));
   * const response = await session.withToken(token => fetch(url, { headers: { authorization: `Bearer ${token}` } }));
   * ```
   *
   * @param request - rejects with an `AuthProblemError` of the code `insufficient_user_authentication`, or resolves to a
   *   `Response` with the status 401 and such a challenge, when it is to be run again; it may run twice
   * @returns what the request returns
   * @throws SignedOutError when the user is not signed in, or the session has ended
   * @throws AuthProblemError of the step-up, such as `invalid_second_factor`
   */
  withToken<T>(request: (token: string) => Promise<T>): Promise<T>;
  /**
   * As the global `fetch`, with the token of the session. A response 401 makes it refresh the session once, and send the request
   * once more with the new token; one that needs a stronger or younger sign-in steps up as {@link UserSession.withToken} does. A
   * request whose `init.body` is a stream is sent once.
   *
   * @throws SignedOutError when the user is not signed in, or the session has ended
   * @throws TypeError when the origin is neither the page's, nor the auth-service's, nor one of `origins`: the token would be
   *   sent to somebody else; and whenever `fetch` does
   * @throws AuthProblemError of the step-up, such as `invalid_second_factor`
   */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /**
   * Calls a listener whenever another user is signed in, or nobody is any more: by this session, or by another tab on the same
   * store (by a BroadcastChannel, which carries no tokens). Not called for a refresh, nor with the user of now: see
   * {@link UserSession.user}.
   *
   * @returns what ends that
   */
  onChange(listener: SessionListener): () => void;
  /**
   * Confirms an authenticator app, as {@link AuthClient.confirmTotp}, and refreshes: the next token has `acr` `aal2`.
   *
   * @returns ten recovery codes, to be shown once
   * @throws SignedOutError when the user is not signed in, or the session has ended
   * @throws AuthProblemError `invalid_second_factor`, `not_found` or `too_many_requests`
   */
  confirmTotp(confirmation: TotpConfirmation): Promise<RecoveryCodes>;
  /**
   * Adds a passkey, as {@link AuthClient.addPasskey}, and refreshes: the next token has `acr` `aal2`. Get the options of the
   * passkey by {@link UserSession.withToken}, which steps up when that is needed.
   *
   * @returns the passkey, with `recoveryCodes` when it is the first second factor of the account
   * @throws SignedOutError when the user is not signed in, or the session has ended
   * @throws AuthProblemError `invalid_passkey`, `too_many_passkeys` or `insufficient_user_authentication`
   */
  addPasskey(passkey: AddPasskeyRequest): Promise<AddedPasskey>;
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
  const reliable = createReliableStore(store, error => queueMicrotask(() => options.onWarning?.(error)));
  const changes = createSessionChanges({ load: reliable.load, channelName: options.store && nameOfStore(store) });
  const kept = createKeptSession({
    store: {
      load: reliable.load,
      async save(session) {
        await reliable.save(session);
        changes.saved(session);
      },
    },
    ...{ lock, minValidityMs, onSignedOut },
    refresh: refreshToken => client.refresh(refreshToken),
  });
  const token = async () => (await kept.current()).token;
  const stepUp = (proof: StepUpProof) => kept.replace(token => client.stepUp(token, proof));
  const stepUpFor = async (needed: AuthenticationNeeded) => {
    // Not under the lock of the store: the user takes a while.
    const proof = await options.onStepUp?.(needed);
    return proof && (await stepUp(proof)).token;
  };
  const withToken = createStepUpOnce({ token, stepUp: stepUpFor });

  const origins = () => [new URL(client.baseUrl).origin, pageOrigin(), ...(options.origins ?? [])].filter(isGiven);
  const sessionFetch = createSessionFetch({
    ...{ token, withToken, origins, invalidate: kept.invalidate },
    fetch: (input, init) => (options.fetch ?? globalThis.fetch)(input, init),
  });

  return {
    token,
    withToken,
    fetch: sessionFetch,
    onChange: changes.subscribe,
    invalidate: kept.invalidate,
    user: async () => (await kept.load())?.user,
    signUp: async (account, options) => (await kept.start(() => client.signUp(account, options))).user,
    async requestSignUp(account, options) {
      try {
        return (await kept.start(() => client.signUp(account, options))).user;
      } catch (error) {
        if (error instanceof SignUpPendingError) return 'pending';
        throw error;
      }
    },
    signIn: async credentials => (await kept.start(() => client.signIn(credentials))).user,
    completeSignIn: async proof => (await kept.start(() => client.completeSignIn(proof))).user,
    signInWithPasskey: async assertion => (await kept.start(() => client.signInWithPasskey(assertion))).user,
    signUpWithPasskey: async signUp => (await kept.start(() => client.signUpWithPasskey(signUp))).user,
    signOut: scope => kept.end(token => client.signOut(token, scope), scope !== 'others'),
    changePassword: async change => (await kept.replace(token => client.changePassword(token, change))).user,
    stepUp: async proof => (await stepUp(proof)).user,
    confirmTotp: confirmation => kept.change(token => client.confirmTotp(token, confirmation)),
    addPasskey: passkey => kept.change(token => client.addPasskey(token, passkey)),
  };
}

const isGiven = (origin: string | undefined) => origin !== undefined;
