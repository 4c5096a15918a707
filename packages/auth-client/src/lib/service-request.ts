import type { Static, TSchema } from '@sinclair/typebox';
import type { AuthClientOptions, RequestOptions } from '../request-options.js';
import { type HttpRequest, sendRequest } from './http.js';
import type { ExpectedResponse } from './response.js';

/**
 * Sends a request to the auth-service and returns the body of its response.
 *
 * @throws AuthProblemError, AuthTransportError
 */
export type ServiceRequest = <S extends TSchema>(
  line: `${HttpRequest<S>['method']} /${string}`,
  expected: ExpectedResponse<S>,
  details: {
    retry: HttpRequest<S>['retry'];
    options: RequestOptions | undefined;
    /** The value of the header `Authorization`. */
    authorization?: string;
    headers?: Record<string, string>;
    /** A body to be sent as JSON. */
    json?: unknown;
    /** A body to be sent as a form. */
    form?: Record<string, string>;
  },
) => Promise<Static<S>>;

/** Creates the function that sends requests to one auth-service. */
export function createServiceRequest(clientOptions: AuthClientOptions): ServiceRequest {
  const { fetch = globalThis.fetch, timeoutMs = 10_000, maxRetries = 2 } = clientOptions;
  const base = parseBaseUrl(clientOptions.baseUrl);
  return (line, expected, { retry, options, authorization, headers, json, form }) => {
    const [method, path] = line.split(' ', 2) as [HttpRequest<never>['method'], string];
    const type = json === undefined ? form && 'application/x-www-form-urlencoded' : 'application/json';
    return sendRequest({
      // As a plain function: browsers reject a `fetch` that is called as a method of an object other than `window`.
      fetch: (url, init) => fetch(url, init),
      url: base + path,
      method,
      headers: {
        accept: 'application/json',
        ...(authorization !== undefined && { authorization }),
        ...(type && { 'content-type': type }),
        ...headers,
      },
      body: json === undefined ? form && new URLSearchParams(form).toString() : JSON.stringify(json),
      expected,
      retry,
      maxRetries,
      timeoutMs: options?.timeoutMs ?? timeoutMs,
      signal: options?.signal,
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
