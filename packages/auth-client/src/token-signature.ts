import { AccessTokenClaims, ServiceTokenClaims } from '@latchkey/user-schema';
import { createVerifier as createJwtVerifier, TokenError } from 'fast-jwt';
import type { VerificationKey } from './jwk.js';
import { conforms } from './schema-check.js';
import { TokenRejectedError } from './verifier-errors.js';

/** What a genuine token says. */
export type Genuine =
  | { kind: 'user'; claims: AccessTokenClaims & NotBefore }
  | { kind: 'service'; claims: ServiceTokenClaims & NotBefore };

// The issuer may give it or not (RFC 7519 §4.1.5).
type NotBefore = { nbf?: number };

const MAX_LENGTH = 8192;
const MAX_QUOTED = 200;
// A last character of which not all bits count has other spellings that decode alike: only the one with zeros passes.
const CANONICAL = /^[\w-]+\.[\w-]+\.(?:[\w-]{4})*(?:[\w-][AQgw]|[\w-]{2}[AEIMQUYcgkosw048])?$/;

/**
 * Reads the header of a token as far as it is needed to choose a key. Whatever names a key itself (`jwk`, `jku`, `x5u`)
 * is ignored.
 *
 * @throws TokenRejectedError
 */
export function readHeader(token: string): { alg: string; kid: string } {
  if (typeof token !== 'string' || token.length > MAX_LENGTH || !CANONICAL.test(token)) {
    throw new TokenRejectedError('invalid_token', 'This is no token.');
  }
  try {
    const segment = Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString();
    const { alg, kid, crit } = JSON.parse(segment) as Record<string, unknown>;
    if (typeof alg === 'string' && typeof kid === 'string' && crit === undefined) return { alg, kid };
  } catch {
    // Answered below, like every other header that is not one of ours.
  }
  throw new TokenRejectedError('invalid_token', 'The token has an unacceptable header.');
}

/** What a token must say besides being signed. */
export type Expectations = { issuer: string; audience: string; clockToleranceMs: number };

/** The claim of a token that is signed by the issuer's key, and made by or for somebody else. */
export type Mismatch = 'iss' | 'aud';

/**
 * Makes the check of signature, header and claims (RFC 9068 §4, RFC 8725) by one key.
 *
 * @param onMismatch told of each token whose signature is good, but not its issuer or audience: more often than not it is the
 *   expectation that is wrong
 *
 * It runs on the caller's thread: WebCrypto would queue in libuv's pool behind whatever else is there.
 */
export function createSignatureCheck(
  { pem, alg }: VerificationKey,
  { issuer, audience, clockToleranceMs }: Expectations,
  onMismatch: (claim: Mismatch, error: TokenRejectedError) => void,
): (token: string) => Genuine {
  const verify = createJwtVerifier({
    key: pem,
    algorithms: [alg],
    checkTyp: 'at+jwt',
    allowedIss: issuer,
    allowedAud: audience,
    requiredClaims: ['iss', 'aud', 'exp'],
    clockTolerance: clockToleranceMs,
  });
  return token => {
    let claims: unknown;
    try {
      // Frozen, because everybody who sends the token again gets the same object.
      claims = Object.freeze(verify(token));
    } catch (cause) {
      const code = cause instanceof TokenError ? cause.code : undefined;
      if (code === 'FAST_JWT_EXPIRED') throw expired({ cause });
      if (code === 'FAST_JWT_INVALID_CLAIM_VALUE') {
        // The signature has been checked before the claims.
        const { iss, aud } = readClaims(token);
        const claim = iss === issuer ? 'aud' : 'iss';
        const [what, expected, seen] = claim === 'iss' ? ['issuer', issuer, iss] : ['audience', audience, aud];
        const message = `The token has the ${what} ${quote(seen)}; ${quote(expected)} is expected.`;
        const error = new TokenRejectedError('invalid_token', message, { cause });
        onMismatch(claim, error);
        throw error;
      }
      throw new TokenRejectedError('invalid_token', 'The token is not valid.', { cause });
    }
    if (conforms(AccessTokenClaims, claims)) return { kind: 'user', claims };
    // Whatever says anything of a session or an account is no service's.
    const isOfUser = typeof claims !== 'object' || claims === null || 'sid' in claims || 'id' in claims;
    if (!isOfUser && conforms(ServiceTokenClaims, claims) && claims.sub === claims.client_id) {
      return { kind: 'service', claims };
    }
    throw new TokenRejectedError('invalid_token', 'The token has not the claims that it must have.');
  };
}

/**
 * Checks once more what may have changed since a token was verified.
 *
 * @throws TokenRejectedError
 */
export function checkTimes({ exp, nbf }: { exp: number } & NotBefore, clockToleranceMs: number): void {
  const now = Date.now();
  if (now > exp * 1000 + clockToleranceMs) throw expired();
  if (nbf !== undefined && now < nbf * 1000 - clockToleranceMs) {
    throw new TokenRejectedError('invalid_token', 'The token is not valid yet.');
  }
}

function expired(options?: ErrorOptions): TokenRejectedError {
  return new TokenRejectedError('expired_token', 'The token has expired.', options);
}

function readClaims(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString());
}

function quote(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text;
}
