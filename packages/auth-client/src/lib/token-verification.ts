import { TokenRejectedError, VerifierUnavailableError } from '../verifier-errors.js';
import type { VerificationKey } from './jwk.js';
import { createKeySet } from './key-set.js';
import type { ServiceRequest } from './service-request.js';
import {
  checkTimes,
  createSignatureCheck,
  type Expectations,
  type Mismatch,
  readHeader,
  type VerifiedToken,
} from './token-signature.js';

/** Verifies tokens by the issuer's keys. */
export type TokenVerification = {
  /**
   * Returns the claims of a token that the issuer signed for this audience and that is valid now.
   *
   * @throws TokenRejectedError, VerifierUnavailableError
   */
  verify(token: string): VerifiedToken | Promise<VerifiedToken>;
  /** Takes the ids of the keys that the issuer publishes now. */
  announceKeys(kids: string[]): void;
};

export type TokenVerificationOptions = Expectations & {
  request: ServiceRequest;
  warn: (error: unknown) => void;
  signal: AbortSignal;
};

type CachedToken = VerifiedToken & { key: VerificationKey };

const MAX_CACHED = 5000;
// The length of the tokens alone. Tokens of the service have some 600 bytes each.
const MAX_CACHED_BYTES = 8 * 1024 * 1024;

/** Verifies the signature of each token once, and caches its claims by the token. */
export function createTokenVerification({
  request,
  warn,
  signal,
  ...expectations
}: TokenVerificationOptions): TokenVerification {
  // The key is the token itself: hashing it would cost more than the rest of a cached verification.
  const cache = new Map<string, CachedToken>();
  let cachedBytes = 0;
  let checks = new Map<VerificationKey, (token: string) => VerifiedToken>();
  const mismatches = new Set<Mismatch>();

  const remove = (token: string) => {
    if (cache.delete(token)) cachedBytes -= token.length;
  };
  const add = (token: string, entry: CachedToken) => {
    remove(token);
    while (cache.size >= MAX_CACHED || (cache.size > 0 && cachedBytes + token.length > MAX_CACHED_BYTES)) {
      remove(cache.keys().next().value as string);
    }
    // A copy: a slice of a header keeps the whole header in memory.
    cache.set(Buffer.from(token, 'latin1').toString('latin1'), entry);
    cachedBytes += token.length;
  };
  const warnOfMismatch = (claim: Mismatch, error: TokenRejectedError) => {
    if (mismatches.has(claim)) return;
    mismatches.add(claim);
    warn(error);
  };

  const keySet = createKeySet({
    request,
    signal,
    onFailure: warn,
    onChange: keys => {
      const createCheck = (key: VerificationKey) => createSignatureCheck(key, expectations, warnOfMismatch);
      checks = new Map(keys.map(key => [key, checks.get(key) ?? createCheck(key)]));
      for (const [token, { key }] of cache) if (!checks.has(key)) remove(token);
    },
  });

  const verifySignature = async (token: string): Promise<VerifiedToken> => {
    const { alg, kid } = readHeader(token);
    const key = await keySet.find(kid).catch(cause => {
      throw new VerifierUnavailableError('keys_unavailable', 'The issuer’s keys cannot be fetched.', { cause });
    });
    const check = key && checks.get(key);
    if (key?.alg !== alg || !check) {
      throw new TokenRejectedError('invalid_token', 'The token is signed with an unknown key.');
    }
    const verified = check(token);
    add(token, { ...verified, key });
    return verified;
  };

  return {
    verify(token) {
      keySet.refreshIfDue();
      const cached = cache.get(token);
      if (!cached) return verifySignature(token);
      checkTimes(cached.claims, expectations.clockToleranceMs);
      return cached;
    },
    announceKeys: keySet.announce,
  };
}
