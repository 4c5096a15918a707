import {
  type Credentials,
  type PasswordChange,
  type Session,
  Sessions,
  SignedIn,
  type SignOutScope,
  User,
} from '@latchkey/user-schema';
import { type TSchema, Type } from '@sinclair/typebox';
import { type Call, type Fetch, send } from './http.js';

/** Options of {@link createAuthClient}. */
export interface AuthClientOptions {
  /** Where the auth-service is, for example `http://auth-service:3000`. A path is kept as a prefix. */
  baseUrl: string | URL;
  /** Replaces the global `fetch`. */
  fetch?: Fetch;
  /** Deadline of a call with all its retries, in milliseconds; 10,000 by default. */
  timeoutMs?: number;
  /** How often a call is sent again where that is safe; 2 by default. */
  maxRetries?: number;
}

/** Options of a single call. */
export interface CallOptions {
  /** Deadline of this call with all its retries, in milliseconds. */
  timeoutMs?: number;
  /** Aborts the call, which then rejects with the code `aborted`. */
  signal?: AbortSignal;
}

/**
 * The auth-service, typed. Every call rejects with an {@link AuthClientError}: `AuthProblemError` when the service
 * refused it, `AuthTransportError` when no answer of the service came back.
 */
export interface AuthClient {
  /**
   * Makes an account and signs it in. Sent again only when the service cannot have seen it.
   *
   * Refused with `username_taken`, `password_rejected` (the reason is in `problem.errors`) or `invalid_request`.
   */
  signUp(credentials: Credentials, options?: CallOptions): Promise<SignedIn>;
  /** Signs in. Refused with `invalid_credentials`, whatever the cause. */
  signIn(credentials: Credentials, options?: CallOptions): Promise<SignedIn>;
  /**
   * Exchanges a refresh token for new tokens. Keep the new refresh token: the old one is used up. Sent again when the
   * answer is lost, which the service answers with the same tokens' successor for some seconds.
   *
   * Refused with `invalid_refresh_token`: the session has ended, sign in again.
   */
  refresh(refreshToken: string, options?: CallOptions): Promise<SignedIn>;
  /** Ends the current session (by default), the others, or all. Refused with `invalid_token` when it has ended already. */
  signOut(token: string, scope?: SignOutScope, options?: CallOptions): Promise<void>;
  /** Lists the account's live sessions, the newest first. */
  sessions(token: string, options?: CallOptions): Promise<Session[]>;
  /** Ends one of the account's sessions. Refused with `not_found` when there is no such live session. */
  endSession(token: string, sessionId: string, options?: CallOptions): Promise<void>;
  /**
   * Changes the password; every other session ends, and this one goes on with the tokens of the answer.
   *
   * Refused with `invalid_credentials` (the current password is wrong) or `password_rejected`.
   */
  changePassword(token: string, change: PasswordChange, options?: CallOptions): Promise<SignedIn>;
  /** Tells whose access token this is, asking the service. Refused with `invalid_token`. */
  me(token: string, options?: CallOptions): Promise<User>;
}

/**
 * Makes a client of the auth-service.
 *
 * @throws TypeError when `baseUrl` is not an http(s) URL or holds credentials
 */
export function createAuthClient(options: AuthClientOptions): AuthClient {
  const { fetch = globalThis.fetch, timeoutMs = 10_000, maxRetries = 2 } = options;
  const base = parseBaseUrl(options.baseUrl);

  const request = <S extends TSchema>(
    [method, path]: [method: Call<S>['method'], path: string],
    answer: Call<S>['answer'],
    how: { retry: Call<S>['retry']; token?: string; body?: unknown; call: CallOptions | undefined },
  ) =>
    send({
      fetch,
      maxRetries,
      method,
      url: base + path,
      headers: {
        accept: 'application/json',
        ...(how.token !== undefined && { authorization: `Bearer ${how.token}` }),
        ...(how.body !== undefined && { 'content-type': 'application/json' }),
      },
      body: how.body,
      answer,
      retry: how.retry,
      timeoutMs: how.call?.timeoutMs ?? timeoutMs,
      signal: how.call?.signal,
    });

  const signedIn = { status: 200, schema: SignedIn };
  const nothing = { status: 204, schema: Type.Undefined() };

  return {
    signUp: (body, call) =>
      request(['POST', '/auth/sign-up'], { status: 201, schema: SignedIn }, { body, retry: 'unsent', call }),
    signIn: (body, call) => request(['POST', '/auth/sign-in'], signedIn, { body, retry: 'refused', call }),
    refresh: (refreshToken, call) =>
      request(['POST', '/auth/refresh'], signedIn, { body: { refreshToken }, retry: 'any', call }),
    signOut: (token, scope = 'current', call) =>
      request(['POST', '/auth/sign-out'], nothing, { token, body: { scope }, retry: 'refused', call }),
    sessions: async (token, call) =>
      (await request(['GET', '/auth/sessions'], { status: 200, schema: Sessions }, { token, retry: 'any', call }))
        .sessions,
    endSession: (token, sessionId, call) =>
      request(['DELETE', `/auth/sessions/${encodeURIComponent(sessionId)}`], nothing, {
        token,
        retry: 'refused',
        call,
      }),
    changePassword: (token, body, call) =>
      request(['PUT', '/auth/password'], signedIn, { token, body, retry: 'refused', call }),
    me: (token, call) => request(['GET', '/auth/me'], { status: 200, schema: User }, { token, retry: 'any', call }),
  };
}

function parseBaseUrl(baseUrl: string | URL): string {
  const url = new URL(baseUrl);
  if (!/^https?:$/.test(url.protocol)) throw new TypeError('baseUrl must be an http or https URL');
  if (url.username || url.password || url.search || url.hash) {
    throw new TypeError('baseUrl must not hold credentials, a query or a fragment');
  }
  return url.origin + url.pathname.replace(/\/+$/, '');
}
