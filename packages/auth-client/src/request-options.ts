/** The part of the global `fetch` that the client uses. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** Options of `createAuthClient`. */
export interface AuthClientOptions {
  /** URL of the auth-service, for example `http://auth-service:3000`. A path in it is kept as a prefix. */
  baseUrl: string | URL;
  /** Replaces the global `fetch`. */
  fetch?: Fetch;
  /** Deadline of a request with all its retries, in milliseconds; 10,000 by default. */
  timeoutMs?: number;
  /** How often a request is sent again where that is safe; 2 by default. */
  maxRetries?: number;
}

/** Options of a single request. */
export interface RequestOptions {
  /** Deadline of this request with all its retries, in milliseconds; the client's by default. */
  timeoutMs?: number;
  /** Aborts the request, which then rejects with the code `aborted`. */
  signal?: AbortSignal;
}
