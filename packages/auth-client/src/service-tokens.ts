import type { AuthClient, ServiceCredentials } from './client.js';
import type { CallOptions } from './request.js';

/** Options of {@link createServiceTokens}; those of a call hold for each request for a token. */
export interface ServiceTokensOptions extends ServiceCredentials, CallOptions {
  /** Scopes to ask for, separated by spaces; all that the client may have by default. */
  scope?: string;
}

/** A service's access tokens, one after the other. */
export interface ServiceTokens {
  /**
   * Gives a token that is good for at least 30 seconds (or half of its life, when that is less), fetched when needed: once
   * for all who ask meanwhile. While it cannot be renewed, the one before is given for as long as it lives.
   *
   * @throws AuthProblemError `invalid_client` or `invalid_scope`
   * @throws AuthTransportError
   */
  token(): Promise<string>;
  /**
   * Forgets a token that was refused, so that the next is a new one: its key or its client may be gone. With the token
   * given, only if it is still the one held, so that ten who are refused at once ask for one.
   */
  invalidate(token?: string): void;
}

const MARGIN_S = 30;
// While the token still lives, a service that is away is not asked more often.
const COOLDOWN_MS = 1000;

/**
 * Fetches a service's access tokens by client credentials (RFC 6749 §4.4) and keeps them:
 *
 * ```ts
 * const tokens = createServiceTokens(auth, { id: 'billing', secret, scope: 'invoices:read' });
 * await fetch(url, { headers: { authorization: `Bearer ${await tokens.token()}` } });
 * ```
 */
export function createServiceTokens(client: AuthClient, options: ServiceTokensOptions): ServiceTokens {
  const { id, secret, scope, timeoutMs, signal } = options;
  const call = { ...(timeoutMs !== undefined && { timeoutMs }), ...(signal && { signal }) };
  let held: { token: string; renewAt: number; expiresAt: number } | undefined;
  let pending: Promise<string> | undefined;

  const fetchToken = async (): Promise<string> => {
    const before = held;
    const askedAt = performance.now();
    try {
      const credentials = { id, secret, ...(scope !== undefined && { scope }) };
      const { access_token: token, expires_in: lifeS } = await client.serviceToken(credentials, call);
      const renewAt = askedAt + Math.max(lifeS / 2, lifeS - MARGIN_S) * 1000;
      held = { token, renewAt, expiresAt: askedAt + lifeS * 1000 };
      return token;
    } catch (error) {
      // Not when it was invalidated meanwhile.
      if (!before || held !== before || performance.now() >= before.expiresAt) throw error;
      before.renewAt = performance.now() + COOLDOWN_MS;
      return before.token;
    }
  };

  return {
    async token() {
      if (held && performance.now() < held.renewAt) return held.token;
      pending ??= fetchToken().finally(() => {
        pending = undefined;
      });
      return pending;
    },
    invalidate(token) {
      if (token === undefined || token === held?.token) held = undefined;
    },
  };
}
