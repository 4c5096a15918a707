import { createPublicKey } from 'node:crypto';
import type { AccessTokenClaims, PublicJwk } from '@latchkey/user-schema';
import { type Algorithm, createVerifier as createJwtVerifier } from 'fast-jwt';
import type { Fetch } from './http.js';
import { createKeySet } from './key-set.js';

/** What an access token must be to be accepted. */
export interface VerifierOptions {
  /** Expected `iss`: the service's `PUBLIC_URL`. */
  issuer: string;
  /** Expected in `aud`: the service's `TOKEN_AUDIENCE`. */
  audience: string;
  /** Where the issuer's keys are; by default `/.well-known/jwks.json` under the issuer. */
  jwksUrl?: string;
  /** Replaces the global `fetch`. */
  fetch?: Fetch;
  /** Deadline for fetching the keys, in milliseconds; 5,000 by default. */
  timeoutMs?: number;
  /** How far this machine's clock may be behind or ahead of the issuer's, in milliseconds; 5,000 by default. */
  clockToleranceMs?: number;
}

/** The token is not one to accept: malformed, forged, expired, of another issuer or for another audience. */
export class TokenRejectedError extends Error {
  override readonly name = 'TokenRejectedError';
}

/** Checks an access token without asking the service; rejects with {@link TokenRejectedError}, or when there are no keys. */
export type Verify = (token: string) => Promise<AccessTokenClaims>;

type VerifySignature = (token: string) => AccessTokenClaims;

const ALGORITHMS: readonly string[] = ['ES256'] satisfies Algorithm[];
const MAX_TOKEN_LENGTH = 8192;
// The last character of a 64-byte signature carries 2 of its bits; with other bits set it would decode alike, and one
// token would have sixteen spellings.
const CANONICAL = /^[\w-]+\.[\w-]+\.[\w-]*[AQgw]$/;
const CACHED_TOKENS = 1000;
const REQUIRED_CLAIMS = ['iss', 'aud', 'sub', 'exp', 'iat', 'jti', 'client_id', 'sid', 'id', 'username'];

/**
 * Makes a function that verifies access tokens (RFC 9068, RFC 8725) with the issuer's cached keys. A key id that is not
 * known has the keys fetched again, at most once in 30 seconds.
 */
export function createVerify(options: VerifierOptions): Verify {
  const byKid = new Map<string, VerifySignature>();
  // All tokens of one key have the same first segment, so it names the key without being decoded. Only segments that
  // a valid signature covers come in here, so nobody but the issuer can fill it.
  const byHeader = new Map<string, VerifySignature>();

  const keySet = createKeySet({
    url: options.jwksUrl ?? `${options.issuer.replace(/\/+$/, '')}/.well-known/jwks.json`,
    fetch: options.fetch ?? globalThis.fetch,
    timeoutMs: options.timeoutMs ?? 5000,
    onChange: keys => {
      byHeader.clear();
      for (const kid of byKid.keys()) if (!keys.has(kid)) byKid.delete(kid);
    },
  });

  const verifierOf = (jwk: PublicJwk): VerifySignature =>
    createJwtVerifier({
      key: createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'pem', type: 'spki' }),
      algorithms: [jwk.alg as Algorithm],
      checkTyp: 'at+jwt',
      allowedIss: options.issuer,
      allowedAud: options.audience,
      requiredClaims: REQUIRED_CLAIMS,
      clockTolerance: options.clockToleranceMs ?? 5000,
      cache: CACHED_TOKENS,
    });

  const findByKid = async (header: string): Promise<VerifySignature> => {
    const { alg, kid } = decodeHeader(header);
    const jwk = await keySet.find(kid);
    if (!jwk || jwk.alg !== alg) throw new TokenRejectedError('The token is signed with an unknown key.');
    const known = byKid.get(kid) ?? verifierOf(jwk);
    byKid.set(kid, known);
    return known;
  };

  return async token => {
    if (token.length > MAX_TOKEN_LENGTH || !CANONICAL.test(token)) throw new TokenRejectedError('This is no token.');
    keySet.refreshIfOld();
    const header = token.slice(0, token.indexOf('.'));
    const known = byHeader.get(header);
    const verify = known ?? (await findByKid(header));
    try {
      const claims = verify(token);
      if (!known) byHeader.set(header, verify);
      return claims;
    } catch (cause) {
      throw new TokenRejectedError('The token is not valid or has expired.', { cause });
    }
  };
}

/** Reads the header as far as it is needed to choose a key. Whatever names a key itself (`jwk`, `jku`, `x5u`) is ignored. */
function decodeHeader(segment: string): { alg: string; kid: string } {
  try {
    const { alg, kid, crit } = JSON.parse(Buffer.from(segment, 'base64url').toString()) as Record<string, unknown>;
    if (typeof alg === 'string' && ALGORITHMS.includes(alg) && typeof kid === 'string' && crit === undefined) {
      return { alg, kid };
    }
  } catch {
    // Answered below, like every other header that is not one of ours.
  }
  throw new TokenRejectedError('The token has an unacceptable header.');
}
