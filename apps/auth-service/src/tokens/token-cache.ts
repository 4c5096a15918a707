import type { Claims } from '../plugins/signing-keys.js';

const MAX_ENTRIES = 1000;

/**
 * Remembers what was verified, so that a token's signature is checked once, not with every request.
 *
 * The key is the whole `Authorization` value: looking that up is several times cheaper than hashing it first, and two
 * tokens can never share an entry.
 */
export function createTokenCache(verify: (authorization: string) => Claims) {
  const verified = new Map<string, Claims>();

  return {
    /** The claims of a token; throws what `verify` throws. */
    find(authorization: string): Claims {
      const known = verified.get(authorization);
      if (known) {
        if (known.exp * 1000 > Date.now()) return known;
        verified.delete(authorization);
      }
      const claims = verify(authorization);
      if (verified.size >= MAX_ENTRIES) verified.delete(verified.keys().next().value as string);
      verified.set(authorization, claims);
      return claims;
    },
    /** Forgets everything, when other keys count than before. */
    clear: () => verified.clear(),
  };
}
