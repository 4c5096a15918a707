import type { Static, TSchema } from '@sinclair/typebox';
import type { Expected } from './answer.js';
import { type Call, type Fetch, send } from './http.js';

/** Where the auth-service is and how it is called. */
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

export type Request = <S extends TSchema>(
  line: `${Call<S>['method']} /${string}`,
  answer: Expected<S>,
  how: {
    retry: Call<S>['retry'];
    call: CallOptions | undefined;
    /** The value of `Authorization`. */
    as?: string;
    headers?: Record<string, string>;
    /** A body to be sent as JSON. */
    json?: unknown;
    /** A body to be sent as a form. */
    form?: Record<string, string>;
  },
) => Promise<Static<S>>;

/** Makes what sends requests to one service. */
export function createRequest(options: AuthClientOptions): Request {
  const { fetch = globalThis.fetch, timeoutMs = 10_000, maxRetries = 2 } = options;
  const base = parseBaseUrl(options.baseUrl);
  return (line, answer, { retry, call, as, headers, json, form }) => {
    const [method, path] = line.split(' ', 2) as [Call<never>['method'], string];
    const type = json === undefined ? form && 'application/x-www-form-urlencoded' : 'application/json';
    return send({
      // Called as a plain function: browsers refuse `fetch` as a method of anything but the window.
      fetch: (url, init) => fetch(url, init),
      url: base + path,
      method,
      headers: {
        accept: 'application/json',
        ...(as !== undefined && { authorization: as }),
        ...(type && { 'content-type': type }),
        ...headers,
      },
      body: json === undefined ? form && new URLSearchParams(form).toString() : JSON.stringify(json),
      answer,
      retry,
      maxRetries,
      timeoutMs: call?.timeoutMs ?? timeoutMs,
      signal: call?.signal,
    });
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
