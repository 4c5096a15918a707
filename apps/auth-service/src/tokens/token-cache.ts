import { InvalidTokenError } from '../http/errors.js';
import type { Claims } from '../keys/jwt.js';

const MAX_ENTRIES = 1000;
// Of the tokens themselves. Those of today have some 600 bytes each.
const MAX_BYTES = 2 * 1024 * 1024;
const KEY_LENGTH = 32;
const BEARER = /^Bearer +(\S+)$/i;

type Entry = { authorization: string; claims: Claims };

/**
 * Remembers what was verified, so that a token's signature is checked once, not with every request.
 *
 * What is compared is the whole `Authorization` value. An entry is found by its end, which is part of the signature: to hash the
 * whole for the lookup would take longer than all else. Other spellings (case, spaces) are brought to one, so that a token has
 * one entry.
 */
export function createTokenCache(verify: (token: string) => Claims) {
  const verified = new Map<string, Entry>();
  let bytes = 0;

  const keyOf = (authorization: string) => authorization.slice(-KEY_LENGTH);
  const forget = ({ authorization }: Entry) => {
    verified.delete(keyOf(authorization));
    bytes -= authorization.length;
  };
  const findKnown = (authorization: string): Claims | undefined => {
    const known = verified.get(keyOf(authorization));
    if (known === undefined || known.authorization !== authorization) return undefined;
    if (known.claims.exp * 1000 > Date.now()) return known.claims;
    forget(known);
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
      forget(verified.values().next().value as Entry);
    }
    const entry = { authorization: canonical, claims };
    const replaced = verified.get(keyOf(canonical));
    if (replaced) forget(replaced);
    verified.set(keyOf(canonical), entry);
    bytes += canonical.length;
    return claims;
  };

  return {
    /** The claims of the token in an `Authorization` value; throws what `verify` throws. */
    find: (authorization: string): Claims => findKnown(authorization) ?? check(authorization),
    /** The claims of the token in an `Authorization` value that is remembered; otherwise `undefined`. */
    findKnown,
    /** Forgets everything, when other keys count than before. */
    clear() {
      verified.clear();
      bytes = 0;
    },
  };
}
