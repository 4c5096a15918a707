import type { AccessTokenClaims, ServiceTokenClaims } from '@latchkey/user-schema';
import { createAuthClient, type ServiceCredentials } from './client.js';
import { createServiceRequest } from './lib/service-request.js';
import { watchSessions } from './lib/session-watch.js';
import { createTokenVerification } from './lib/token-verification.js';
import type { Fetch } from './request-options.js';
import { TokenRejectedError } from './verifier-errors.js';

/** Options of {@link createVerifier}. */
export interface VerifierOptions {
  /** Expected `iss`: the service's `PUBLIC_URL`. */
  issuer: string;
  /** Expected `aud`: the service's `TOKEN_AUDIENCE`. */
  audience: string;
  /** URL at which this process reaches the auth-service; the issuer by default. */
  baseUrl?: string | URL;
  /**
   * This service's client at the auth-service, with the scope `revocations:read`. With it, tokens of ended sessions are
   * rejected at once; without it, they are accepted until they expire.
   */
  client?: ServiceCredentials;
  /** How long ago the feed of ended sessions may have been read, in milliseconds; 60,000 by default. Needs `client`. */
  maxStalenessMs?: number;
  /**
   * What `verify` does after that: `open` (the default) accepts users' tokens, `closed` throws a
   * {@link VerifierUnavailableError}. Needs `client`.
   */
  onStale?: 'open' | 'closed';
  /** Replaces the global `fetch`. */
  fetch?: Fetch;
  /** Deadline of a request to the auth-service, in milliseconds; 5,000 by default. */
  timeoutMs?: number;
  /** How far this machine's clock may be behind or ahead of the issuer's, in milliseconds; 5,000 by default. */
  clockToleranceMs?: number;
  /**
   * Called with errors in the background: the first of consecutive failures of one kind; an outage when it lasts longer than
   * `timeoutMs`; a {@link VerifierUnavailableError} when the feed is stale; a {@link VerifierConfigurationError} when the
   * client is refused; and a {@link TokenRejectedError} for the first token with a valid signature and another issuer, or
   * another audience, than expected.
   */
  onWarning?: (error: unknown) => void;
}

/** How far the clocks of this machine and the issuer may differ by default, in milliseconds. */
export const CLOCK_TOLERANCE_MS = 5000;

/** Verifies access tokens without a request to the auth-service for each. */
export interface Verifier {
  /**
   * Verifies a user's access token. The first verification waits until the feed of ended sessions has been read, for
   * `timeoutMs` at most.
   *
   * @returns its claims; times are in seconds since 1970
   * @throws TokenRejectedError when the token must not be accepted
   * @throws VerifierUnavailableError when that is unknown
   */
  verify(token: string): Promise<AccessTokenClaims>;
  /**
   * Verifies a service's access token. It has no session, so the feed of ended sessions is not needed.
   *
   * @param scope - the scope that the token must have; any token of a service is accepted without it
   * @returns its claims; times are in seconds since 1970
   * @throws TokenRejectedError when the token must not be accepted
   * @throws VerifierUnavailableError when that is unknown
   */
  verifyService(token: string, scope?: string): Promise<ServiceTokenClaims>;
  /**
   * Resolves when the auth-service has accepted the client, or could not be reached within `timeoutMs`; at once without a
   * client. Await it at the start, so that wrong credentials are found then.
   *
   * @throws VerifierConfigurationError when the auth-service refuses the client
   */
  ready(): Promise<void>;
  /** Stops the requests in the background. Until then, a verifier with a client keeps the process alive. */
  close(): void;
}

/**
 * Creates a verifier of access tokens (RFC 9068, RFC 8725). It fetches the issuer's keys every 5 minutes, and for an unknown
 * key id at most once in 30 seconds; when they cannot be fetched, it continues with those it has. With a client, it follows
 * the feed of ended sessions, which also announces new and removed keys.
 *
 * ```ts
 * const verifier = createVerifier({ issuer: 'https://auth.example.com', audience: 'latchkey' });
 * const { id, username } = await verifier.verify(token);
 * ```
 *
 * @throws TypeError when an option is invalid
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const { issuer, audience, client, timeoutMs = 5000, clockToleranceMs = CLOCK_TOLERANCE_MS } = options;
  requireText({ issuer, audience });
  if ('client' in options) requireClient(client);
  if (!client && (options.maxStalenessMs !== undefined || options.onStale !== undefined)) {
    throw new TypeError('maxStalenessMs and onStale need client: without it the feed of ended sessions is not read');
  }
  const { maxStalenessMs = 60_000, onStale = 'open', baseUrl = issuer, fetch } = options;
  const clientOptions = { baseUrl, timeoutMs, maxRetries: 0, ...(fetch && { fetch }) };
  const closing = new AbortController();
  const { signal } = closing;

  const warn = (error: unknown) => {
    // In a microtask: an error that the callback throws is the application's, and must not stop the verifier.
    if (!signal.aborted) queueMicrotask(() => options.onWarning?.(error));
  };
  const request = createServiceRequest(clientOptions);
  const tokens = createTokenVerification({ request, issuer, audience, clockToleranceMs, warn, signal });
  const sessions =
    client &&
    watchSessions({
      service: createAuthClient(clientOptions),
      credentials: client,
      ...{ maxStalenessMs, onStale, clockToleranceMs, patienceMs: timeoutMs, warn, signal },
      onKeys: tokens.announceKeys,
    });
  let isReady = !sessions;

  return {
    async verify(token) {
      if (!isReady) await sessions?.ready();
      isReady = true;
      const verified = tokens.verify(token);
      const { kind, claims } = verified instanceof Promise ? await verified : verified;
      if (kind !== 'user') throw new TokenRejectedError('invalid_token', 'This is a service’s token, not a user’s.');
      sessions?.checkFreshness();
      if (sessions?.hasEnded(claims.sid)) {
        throw new TokenRejectedError('ended_session', 'The session of the token has ended.');
      }
      return claims;
    },
    async verifyService(token, scope) {
      const { kind, claims } = await tokens.verify(token);
      if (kind !== 'service') throw new TokenRejectedError('invalid_token', 'This is a user’s token, not a service’s.');
      if (scope !== undefined && !claims.scope.split(' ').includes(scope)) {
        throw new TokenRejectedError('insufficient_scope', `The token does not have the scope ${scope}.`);
      }
      return claims;
    },
    ready: async () => sessions?.started(),
    close: () => closing.abort(),
  };
}

/** An undefined `client`, as from a missing setting, must not be taken for the choice to do without. */
function requireClient(client: ServiceCredentials | undefined): void {
  if (typeof client !== 'object' || client === null) {
    const advice = 'leave the option out to do without: then tokens of ended sessions are accepted until they expire';
    throw new TypeError(`client must have the id and the secret of this service at the auth-service; ${advice}`);
  }
  requireText({ 'client.id': client.id, 'client.secret': client.secret });
}

function requireText(values: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(values)) {
    if (typeof value !== 'string' || value === '') throw new TypeError(`${name} is missing or empty`);
  }
}
