import type { AuthClient, ServiceCredentials } from './client.js';
import type { RequestOptions } from './request-options.js';

/** Options of {@link createServiceTokens}; `timeoutMs` and `signal` hold for each request for a token. */
export interface ServiceTokensOptions extends ServiceCredentials, RequestOptions {
  /** Scopes of the tokens, separated by spaces; all scopes of the client by default. */
  scope?: string;
}

/** The access tokens of a service, one after the other. */
export interface ServiceTokens {
  /**
   * Returns an access token that is valid for at least 30 seconds (or half of its lifetime, when that is less), fetched when
   * needed: once for all concurrent callers. While it cannot be renewed, the current token is returned until it expires.
   *
   * @throws AuthProblemError `invalid_client` or `invalid_scope`
   * @throws AuthTransportError
   */
  token(): Promise<string>;
  /**
   * Makes the next `token()` fetch a new one. For a token that was rejected before it expired, since its key or its client
   * was removed.
   *
   * @param token - the rejected one: nothing happens when it is not the current one any more, so ten concurrent rejections
   *   cause one request. Without it, the current token is dropped in any case.
   */
  invalidate(token?: string): void;
}

const MARGIN_S = 30;
// How long no other request is made after one has failed and the token is still valid.
const COOLDOWN_MS = 1000;

/**
 * Fetches a service's access tokens by client credentials (RFC 6749 §4.4) and keeps them:
 *
 * ```ts
 * const tokens = createServiceTokens(auth, { id: 'billing', secret, scope: 'invoices:read' });
 * await fetch(url, { headers: { authorization: `Bearer ${await tokens.token()}` } });
 * ```
 *
 * @param client - where the tokens are fetched
 */
export function createServiceTokens(client: AuthClient, options: ServiceTokensOptions): ServiceTokens {
  const { id, secret, scope, timeoutMs, signal } = options;
  const requestOptions = { ...(timeoutMs !== undefined && { timeoutMs }), ...(signal && { signal }) };
  let current: { token: string; renewAt: number; expiresAt: number } | undefined;
  let pending: Promise<string> | undefined;

  const fetchToken = async (): Promise<string> => {
    const before = current;
    const requestedAt = performance.now();
    try {
      const credentials = { id, secret, ...(scope !== undefined && { scope }) };
      const { access_token: token, expires_in: lifetimeS } = await client.serviceToken(credentials, requestOptions);
      const renewAt = requestedAt + Math.max(lifetimeS / 2, lifetimeS - MARGIN_S) * 1000;
      current = { token, renewAt, expiresAt: requestedAt + lifetimeS * 1000 };
      return token;
    } catch (error) {
      // Not a token that was invalidated meanwhile.
      if (!before || current !== before || performance.now() >= before.expiresAt) throw error;
      before.renewAt = performance.now() + COOLDOWN_MS;
      return before.token;
    }
  };

  return {
    async token() {
      if (current && performance.now() < current.renewAt) return current.token;
      pending ??= fetchToken().finally(() => {
        pending = undefined;
      });
      return pending;
    },
    invalidate(token) {
      if (token === undefined || token === current?.token) current = undefined;
    },
  };
}
