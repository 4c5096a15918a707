import type { AccessTokenClaims, ServiceTokenClaims } from '@latchkey/user-schema';
import { createAuthClient, type ServiceCredentials } from './client.js';
import { createGenuineTokens } from './genuine-tokens.js';
import type { Fetch } from './http.js';
import { createRequest } from './request.js';
import { watchSessions } from './session-watch.js';
import { TokenRejectedError } from './verifier-errors.js';

/** Options of {@link createVerifier}. */
export interface VerifierOptions {
  /** Expected `iss`: the service's `PUBLIC_URL`. */
  issuer: string;
  /** Expected `aud`: the service's `TOKEN_AUDIENCE`. */
  audience: string;
  /** Where the auth-service answers this one; the issuer by default. */
  baseUrl?: string | URL;
  /**
   * The client that this service has at the auth-service, with the scope `revocations:read`. With it, sessions that end
   * are heard of at once; without it, their access tokens are accepted until they expire.
   */
  client?: ServiceCredentials;
  /** How old the knowledge of ended sessions may become, in milliseconds; 60,000 by default. Needs `client`. */
  maxStalenessMs?: number;
  /** Beyond that: `open` (the default) goes on accepting users' tokens, `closed` refuses to judge them. Needs `client`. */
  onStale?: 'open' | 'closed';
  /** Replaces the global `fetch`. */
  fetch?: Fetch;
  /** Deadline of a call to the auth-service, in milliseconds; 5,000 by default. */
  timeoutMs?: number;
  /** How far this machine's clock may be behind or ahead of the issuer's, in milliseconds; 5,000 by default. */
  clockToleranceMs?: number;
  /**
   * Told what goes wrong in the background: the first of failures that are alike, of an outage when it lasts longer than a
   * call may, when the knowledge is stale, of a client that is refused (a {@link VerifierConfigurationError}), and of the
   * first token that the issuer has signed under another issuer, or for another audience, than expected.
   */
  onWarning?: (error: unknown) => void;
}

/** Checks access tokens without asking the auth-service. */
export interface Verifier {
  /**
   * Checks a user's access token and tells its claims.
   *
   * @throws TokenRejectedError when it is not to be accepted
   * @throws VerifierUnavailableError when that cannot be known
   */
  verify(token: string): Promise<AccessTokenClaims>;
  /**
   * Checks a service's access token, which must have the scope if one is given, and tells its claims. It belongs to no
   * session, so what is known of ended ones is of no matter.
   *
   * @throws TokenRejectedError when it is not to be accepted
   * @throws VerifierUnavailableError when that cannot be known
   */
  verifyService(token: string, scope?: string): Promise<ServiceTokenClaims>;
  /**
   * Waits until the auth-service has accepted the client, or could not be reached: call it at the start, so that a wrong
   * client shows there. Without a client there is nothing to wait for.
   *
   * @throws VerifierConfigurationError when the auth-service refuses the client
   */
  ready(): Promise<void>;
  /** Ends what goes on in the background, at once. A process that follows ended sessions does not end before. */
  close(): void;
}

/**
 * Makes a verifier of access tokens (RFC 9068, RFC 8725). It keeps the issuer's keys for 5 minutes, has them fetched again
 * for a key id that is not known, at most once in 30 seconds, and goes on with those it has while they cannot be fetched.
 * Given a client, it follows the feed of ended sessions, which also announces keys that come and go.
 *
 * ```ts
 * const verifier = createVerifier({ issuer: 'https://auth.example.com', audience: 'latchkey' });
 * const { id, username } = await verifier.verify(token);
 * ```
 *
 * @throws TypeError when an option is wrong
 */
export function createVerifier(options: VerifierOptions): Verifier {
  const { issuer, audience, client, timeoutMs = 5000, clockToleranceMs = 5000 } = options;
  requireText({ issuer, audience });
  if ('client' in options) requireClient(client);
  if (!client && (options.maxStalenessMs !== undefined || options.onStale !== undefined)) {
    throw new TypeError('maxStalenessMs and onStale need client: without it no ended sessions are heard of at all');
  }
  const { maxStalenessMs = 60_000, onStale = 'open', baseUrl = issuer, fetch } = options;
  const calls = { baseUrl, timeoutMs, maxRetries: 0, ...(fetch && { fetch }) };
  const closing = new AbortController();
  const { signal } = closing;

  const warn = (error: unknown) => {
    // Whatever the callback throws is its owner's to see, and must not stop what goes on here.
    if (!signal.aborted) queueMicrotask(() => options.onWarning?.(error));
  };
  const request = createRequest(calls);
  const tokens = createGenuineTokens({ request, issuer, audience, clockToleranceMs, warn, signal });
  const sessions =
    client &&
    watchSessions({
      service: createAuthClient(calls),
      credentials: client,
      ...{ maxStalenessMs, onStale, clockToleranceMs, patienceMs: timeoutMs, warn, signal },
      onKeys: tokens.announceKeys,
    });
  let isReady = !sessions;

  return {
    async verify(token) {
      if (!isReady) await sessions?.ready();
      isReady = true;
      const read = tokens.read(token);
      const { kind, claims } = read instanceof Promise ? await read : read;
      if (kind !== 'user') throw new TokenRejectedError('invalid_token', 'This is a service’s token, not a user’s.');
      sessions?.checkFreshness();
      if (sessions?.hasEnded(claims.sid)) {
        throw new TokenRejectedError('ended_session', 'The session of the token has ended.');
      }
      return claims;
    },
    async verifyService(token, scope) {
      const { kind, claims } = await tokens.read(token);
      if (kind !== 'service') throw new TokenRejectedError('invalid_token', 'This is a user’s token, not a service’s.');
      if (scope !== undefined && !claims.scope.split(' ').includes(scope)) {
        throw new TokenRejectedError('insufficient_scope', `The token has not the scope ${scope}.`);
      }
      return claims;
    },
    ready: async () => sessions?.started(),
    close: () => closing.abort(),
  };
}

/** A setting that is missing must not pass for one that was left out on purpose. */
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
