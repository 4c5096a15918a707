import { PREFER_PACKED, type Revocations, ServiceToken } from '@latchkey/user-schema';
import { bearer, type ClientRequests } from '../lib/client-requests.js';
import { RevocationsPage } from '../lib/schema-check.js';
import type { RequestOptions } from '../request-options.js';

/** The client id and secret of a service at the auth-service (RFC 6749 §2.3.1). */
export interface ServiceCredentials {
  /** Id of the service's client. */
  id: string;
  secret: string;
}

/** The methods of a client for services with credentials. */
export interface ServiceMethods {
  /**
   * Fetches an access token of a service by client credentials (RFC 6749 §4.4). `createServiceTokens` does this when needed
   * and keeps the token.
   *
   * @param credentials - `scope` is a list separated by spaces; all scopes of the client by default
   * @returns the response of RFC 6749 §5.1; `expires_in` is in seconds
   * @throws AuthProblemError `invalid_client` or `invalid_scope`
   * @throws AuthTransportError
   */
  serviceToken(credentials: ServiceCredentials & { scope?: string }, options?: RequestOptions): Promise<ServiceToken>;
  /**
   * Reads a page of the feed of ended sessions. While `more` is true, the next page can be read at once.
   *
   * @param token - a service's access token with the scope `revocations:read`
   * @param from - `after` is the `cursor` of the page before; without it the feed begins with every ended session whose
   *   access tokens may still live. When nothing is new, the service waits up to `wait` seconds (30 at most, 0 by default)
   *   before it responds; the deadline of the request is later by `wait`. With `packed` the page has its sessions in `packed`
   *   in place of `revoked`, a third of the bytes; a service of an earlier version does not know that, and sends `revoked`.
   * @throws AuthProblemError `invalid_token`, `insufficient_scope`, `invalid_request` (`after` is not a cursor of this
   *   feed), or `service_unavailable` while the service cannot read its database
   * @throws AuthTransportError
   */
  revocations(
    token: string,
    from?: { after?: string; wait?: number; packed?: boolean },
    options?: RequestOptions,
  ): Promise<Revocations>;
}

// A page of the service has some 5,000 sessions of 80 bytes. Earlier versions sent all sessions in one response.
const MAX_FEED_BYTES = 16 * 1024 * 1024;

export function serviceMethods({ request }: ClientRequests, defaultTimeoutMs = 10_000): ServiceMethods {
  return {
    serviceToken: ({ id, secret, scope }, options) => {
      const form = { grant_type: 'client_credentials', ...(scope !== undefined && { scope }) };
      const expected = { status: 200, schema: ServiceToken };
      return request('POST /oauth/token', expected, { ...basic(id, secret), form, retry: 'any', options });
    },
    revocations: (token, { after, wait = 0, packed = false } = {}, options) => {
      const query = new URLSearchParams({ wait: `${wait}`, ...(after !== undefined && { after }) });
      const expected = { status: 200, schema: RevocationsPage, maxBytes: MAX_FEED_BYTES };
      const timeoutMs = wait * 1000 + (options?.timeoutMs ?? defaultTimeoutMs);
      const headers: Record<string, string> = packed ? { prefer: PREFER_PACKED } : {};
      const details = { ...bearer(token), headers, retry: 'any' as const, options: { ...options, timeoutMs } };
      return request(`GET /auth/revocations?${query}`, expected, details);
    },
  };
}

/** HTTP Basic. Id and secret are form-encoded first (RFC 6749 §2.3.1), so `btoa` gets ASCII only. */
function basic(id: string, secret: string): { authorization: string } {
  const encode = (text: string) => new URLSearchParams({ _: text }).toString().slice('_='.length);
  return { authorization: `Basic ${btoa(`${encode(id)}:${encode(secret)}`)}` };
}
