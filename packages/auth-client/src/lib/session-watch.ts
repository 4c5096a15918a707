import { PACKED_LENGTH, REVOCATIONS_SCOPE } from '@latchkey/user-schema';
import type { AuthClient, ServiceCredentials } from '../client.js';
import { AuthProblemError, AuthTransportError } from '../errors.js';
import { createServiceTokens } from '../service-tokens.js';
import { VerifierConfigurationError, VerifierUnavailableError } from '../verifier-errors.js';
import { createEndedSessions } from './ended-sessions.js';
import { followRevocations } from './revocation-feed.js';

/** The ended sessions, as the auth-service reports them. */
export type SessionWatch = {
  /** Resolves when all ended sessions are known, or when that has taken too long. */
  ready(): Promise<void>;
  /**
   * Resolves when the first request to the auth-service has succeeded or failed.
   *
   * @throws VerifierConfigurationError when the auth-service refuses the client
   */
  started(): Promise<void>;
  hasEnded(sessionId: string): boolean;
  /** @throws VerifierUnavailableError when the feed is stale and `onStale` is `closed` */
  checkFreshness(): void;
};

export type SessionWatchOptions = {
  service: AuthClient;
  credentials: ServiceCredentials;
  maxStalenessMs: number;
  onStale: 'open' | 'closed';
  clockToleranceMs: number;
  patienceMs: number;
  /** Called with the ids of the keys that the issuer publishes now. */
  onKeys: (kids: string[]) => void;
  warn: (error: unknown) => void;
  signal: AbortSignal;
};

/** Follows the feed of ended sessions with the credentials of a service. */
export function watchSessions(options: SessionWatchOptions): SessionWatch {
  const { service, credentials, maxStalenessMs, onStale, onKeys, warn, signal } = options;
  const tokens = createServiceTokens(service, { ...credentials, scope: REVOCATIONS_SCOPE, signal });
  const ended = createEndedSessions(options.clockToleranceMs);
  let hasWarned = false;

  const read = async (from: { after?: string; wait: number }) => {
    const token = await tokens.token();
    return service.revocations(token, { ...from, packed: true }, { signal }).catch(async error => {
      if (!(error instanceof AuthProblemError) || error.problem.status !== 401) throw error;
      // The key of the token may have been distrusted. A new token has another key.
      tokens.invalidate(token);
      return service.revocations(await tokens.token(), { ...from, packed: true }, { signal });
    });
  };
  const feed = followRevocations({
    read: from => read(from).catch(error => Promise.reject(explainRefusal(error, credentials.id))),
    isForGood: error => error instanceof VerifierConfigurationError,
    onPage({ revoked, packed, keys, more }) {
      ended.add(revoked);
      if (packed !== undefined) ended.addPacked(unpack(packed));
      onKeys(keys);
      if (!more) hasWarned = false;
    },
    onFailure: warn,
    maxStalenessMs,
    patienceMs: options.patienceMs,
    signal,
  });

  return {
    ready: feed.ready,
    started: feed.started,
    hasEnded: ended.has,
    checkFreshness() {
      if (!feed.isStale() || (hasWarned && onStale === 'open')) return;
      const message = `The feed of ended sessions could not be read for more than ${maxStalenessMs} ms.`;
      const error = new VerifierUnavailableError('stale_revocations', message);
      if (!hasWarned) warn(error);
      hasWarned = true;
      if (onStale === 'closed') throw error;
    },
  };
}

/** @throws AuthTransportError `unexpected_answer` when these are not packed sessions */
function unpack(packed: string): Uint8Array {
  const bytes = Buffer.from(packed, 'base64');
  if (bytes.length % PACKED_LENGTH === 0) return bytes;
  throw new AuthTransportError(
    'unexpected_answer',
    'The packed sessions of the feed have another length than whole ones.',
  );
}

/** Turns the refusal of a client into an error that says what to change. Returns every other error as it is. */
function explainRefusal(error: unknown, clientId: string): unknown {
  if (!(error instanceof AuthProblemError)) return error;
  const { code } = error;
  if (code === 'invalid_client') {
    const message = `The auth-service refuses the client "${clientId}": it does not know the client, or the client is disabled or has another secret. Check client.id and client.secret.`;
    return new VerifierConfigurationError(code, message, { cause: error });
  }
  if (code === 'invalid_scope' || code === 'insufficient_scope') {
    const message = `The client "${clientId}" does not have the scope ${REVOCATIONS_SCOPE}. Use one that has it (latchkey clients create ID --scope ${REVOCATIONS_SCOPE}), or leave client out.`;
    return new VerifierConfigurationError(code, message, { cause: error });
  }
  return error;
}
