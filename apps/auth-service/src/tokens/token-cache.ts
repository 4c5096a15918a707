import { InvalidTokenError } from '../http/errors.js';
import type { Claims } from '../keys/jwt.js';

const MAX_ENTRIES = 1000;
// Of the tokens themselves. Those of today have some 600 bytes each.
const MAX_BYTES = 2 * 1024 * 1024;
const BEARER = /^Bearer +(\S+)$/i;

/**
 * Remembers what was verified, so that a token's signature is checked once, not with every request.
 *
 * The key is the whole `Authorization` value: looking that up is several times cheaper than hashing it first, and two
 * tokens can never share an entry. Other spellings of it (case, spaces) are brought to one, so that a token has one entry.
 */
export function createTokenCache(verify: (token: string) => Claims) {
  const verified = new Map<string, Claims>();
  let bytes = 0;

  const forget = (authorization: string) => {
    verified.delete(authorization);
    bytes -= authorization.length;
  };
  const findKnown = (authorization: string): Claims | undefined => {
    const known = verified.get(authorization);
    if (!known || known.exp * 1000 > Date.now()) return known;
    forget(authorization);
    return undefined;
  };
  const check = (authorization: string): Claims => {
    const [, token] = BEARER.exec(authorization) ?? [];
    if (token === undefined) throw new InvalidTokenError();
    const canonical = `Bearer ${token}`;
    const known = canonical === authorization ? undefined : findKnown(canonical);
    if (known) return known;
    const claims = verify(token);
    while (verified.size >= MAX_ENTRIES || (verified.size > 0 && bytes + canonical.length > MAX_BYTES)) {
      forget(verified.keys().next().value as string);
    }
    verified.set(canonical, claims);
    bytes += canonical.length;
    return claims;
  };

  return {
    /** The claims of the token in an `Authorization` value; throws what `verify` throws. */
    find: (authorization: string): Claims => findKnown(authorization) ?? check(authorization),
    /** Forgets everything, when other keys count than before. */
    clear() {
      verified.clear();
      bytes = 0;
    },
  };
}
