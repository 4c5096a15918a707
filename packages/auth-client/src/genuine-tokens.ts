import type { VerificationKey } from './jwk.js';
import { createKeySet } from './key-set.js';
import type { Request } from './request.js';
import {
  checkTimes,
  createSignatureCheck,
  type Expectations,
  type Genuine,
  type Mismatch,
  readHeader,
} from './token-signature.js';
import { TokenRejectedError, VerifierUnavailableError } from './verifier-errors.js';

/** Tells genuine tokens, by the issuer's keys. */
export type GenuineTokens = {
  /**
   * Tells what a token says that the issuer signed for us and that is valid now.
   *
   * @throws TokenRejectedError, VerifierUnavailableError
   */
  read(token: string): Genuine | Promise<Genuine>;
  /** Takes note of the ids of the keys that the issuer publishes now. */
  announceKeys(kids: string[]): void;
};

export type GenuineTokensOptions = Expectations & {
  request: Request;
  warn: (error: unknown) => void;
  signal: AbortSignal;
};

type Known = Genuine & { key: VerificationKey };

const MAX_KNOWN = 5000;
// Of the tokens themselves. Those of today have some 600 bytes each.
const MAX_KNOWN_BYTES = 8 * 1024 * 1024;

/** Checks the signature of each token once, and remembers what it said by the token itself. */
export function createGenuineTokens({ request, warn, signal, ...expectations }: GenuineTokensOptions): GenuineTokens {
  // Looked up by the whole token: hashing it first would cost more than all the rest.
  const known = new Map<string, Known>();
  let knownBytes = 0;
  let checks = new Map<VerificationKey, (token: string) => Genuine>();
  const mismatches = new Set<Mismatch>();

  const forget = (token: string) => {
    if (known.delete(token)) knownBytes -= token.length;
  };
  const remember = (token: string, entry: Known) => {
    forget(token);
    while (known.size >= MAX_KNOWN || (known.size > 0 && knownBytes + token.length > MAX_KNOWN_BYTES)) {
      forget(known.keys().next().value as string);
    }
    // A copy: what was cut from a header keeps the whole header in memory.
    known.set(Buffer.from(token, 'latin1').toString('latin1'), entry);
    knownBytes += token.length;
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
      const makeCheck = (key: VerificationKey) => createSignatureCheck(key, expectations, warnOfMismatch);
      checks = new Map(keys.map(key => [key, checks.get(key) ?? makeCheck(key)]));
      for (const [token, { key }] of known) if (!checks.has(key)) forget(token);
    },
  });

  const verify = async (token: string): Promise<Genuine> => {
    const { alg, kid } = readHeader(token);
    const key = await keySet.find(kid).catch(cause => {
      throw new VerifierUnavailableError('keys_unavailable', 'The issuer’s keys cannot be fetched.', { cause });
    });
    const check = key && checks.get(key);
    if (key?.alg !== alg || !check) {
      throw new TokenRejectedError('invalid_token', 'The token is signed with an unknown key.');
    }
    const genuine = check(token);
    remember(token, { ...genuine, key });
    return genuine;
  };

  return {
    read(token) {
      keySet.refreshIfDue();
      const genuine = known.get(token);
      if (!genuine) return verify(token);
      checkTimes(genuine.claims, expectations.clockToleranceMs);
      return genuine;
    },
    announceKeys: keySet.announce,
  };
}
