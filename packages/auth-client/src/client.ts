import { type Credentials, SignedIn, User } from '@latchkey/user-schema';
import { type Fetch, send } from './http.js';

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
  const common = (path: string, call: CallOptions | undefined) => ({
    fetch,
    maxRetries,
    url: base + path,
    timeoutMs: call?.timeoutMs ?? timeoutMs,
    signal: call?.signal,
  });
  const json = { accept: 'application/json', 'content-type': 'application/json' };

  return {
    signUp: (credentials, call) =>
      send({
        ...common('/auth/sign-up', call),
        method: 'POST',
        headers: json,
        body: credentials,
        answer: { status: 201, schema: SignedIn },
        retry: 'unsent',
      }),
    signIn: (credentials, call) =>
      send({
        ...common('/auth/sign-in', call),
        method: 'POST',
        headers: json,
        body: credentials,
        answer: { status: 200, schema: SignedIn },
        retry: 'refused',
      }),
    me: (token, call) =>
      send({
        ...common('/auth/me', call),
        method: 'GET',
        headers: { accept: 'application/json', authorization: `Bearer ${token}` },
        answer: { status: 200, schema: User },
        retry: 'any',
      }),
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
