import { AccessTokenClaims, ServiceTokenClaims } from '@latchkey/user-schema';
import { createVerifier as createJwtVerifier, TokenError } from 'fast-jwt';
import { TokenRejectedError } from '../verifier-errors.js';
import type { VerificationKey } from './jwk.js';
import { conforms } from './schema-check.js';

/** The claims of a token that has been verified. */
export type VerifiedToken =
  | { kind: 'user'; claims: AccessTokenClaims & NotBefore }
  | { kind: 'service'; claims: ServiceTokenClaims & NotBefore };

// Optional (RFC 7519 §4.1.5).
type NotBefore = { nbf?: number };

const MAX_LENGTH = 8192;
const MAX_QUOTED = 200;
// The unused bits of a segment's last character must be zero: otherwise several spellings would decode to one signature.
const CANONICAL = /^[\w-]+\.[\w-]+\.(?:[\w-]{4})*(?:[\w-][AQgw]|[\w-]{2}[AEIMQUYcgkosw048])?$/;

/**
 * Reads the algorithm and key id of a token. Members by which a token brings its own key (`jwk`, `jku`, `x5u`) are ignored.
 *
 * @throws TokenRejectedError
 */
export function readHeader(token: string): { alg: string; kid: string } {
  if (typeof token !== 'string' || token.length > MAX_LENGTH || !CANONICAL.test(token)) {
    throw new TokenRejectedError('invalid_token', 'This is not a token.');
  }
  try {
    const segment = Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString();
    const { alg, kid, crit } = JSON.parse(segment) as Record<string, unknown>;
    if (typeof alg === 'string' && typeof kid === 'string' && crit === undefined) return { alg, kid };
  } catch {
    // Rejected below, like every other unacceptable header.
  }
  throw new TokenRejectedError('invalid_token', 'The token has an unacceptable header.');
}

/** What the claims of a token are compared with. */
export type Expectations = { issuer: string; audience: string; clockToleranceMs: number };

/** The claim that is not the expected one in a token with a valid signature. */
export type Mismatch = 'iss' | 'aud';

/**
 * Creates the check of signature, header and claims (RFC 9068 §4, RFC 8725) by one key. It runs on the caller's thread:
 * WebCrypto would wait in libuv's pool for whatever else is queued there.
 *
 * @param onMismatch - called for each token with a valid signature and another issuer or audience, since then the
 *   configuration is likely to be wrong
 */
export function createSignatureCheck(
  { pem, alg }: VerificationKey,
  { issuer, audience, clockToleranceMs }: Expectations,
  onMismatch: (claim: Mismatch, error: TokenRejectedError) => void,
): (token: string) => VerifiedToken {
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
      // Frozen, because the object is cached and shared by all requests with this token.
      claims = Object.freeze(verify(token));
    } catch (cause) {
      const code = cause instanceof TokenError ? cause.code : undefined;
      if (code === 'FAST_JWT_EXPIRED') throw expired({ cause });
      if (code === 'FAST_JWT_INVALID_CLAIM_VALUE') {
        // fast-jwt checks the signature before the claims.
        const { iss, aud } = readClaims(token);
        const claim = iss === issuer ? 'aud' : 'iss';
        const [name, expected, actual] = claim === 'iss' ? ['issuer', issuer, iss] : ['audience', audience, aud];
        const message = `The token has the ${name} ${quote(actual)}; ${quote(expected)} is expected.`;
        const error = new TokenRejectedError('invalid_token', message, { cause });
        onMismatch(claim, error);
        throw error;
      }
      throw new TokenRejectedError('invalid_token', 'The token is not valid.', { cause });
    }
    if (conforms(AccessTokenClaims, claims)) return { kind: 'user', claims };
    // A service's token has no claim of a session or an account.
    const isOfUser = typeof claims !== 'object' || claims === null || 'sid' in claims || 'id' in claims;
    if (!isOfUser && conforms(ServiceTokenClaims, claims) && claims.sub === claims.client_id) {
      return { kind: 'service', claims };
    }
    throw new TokenRejectedError('invalid_token', 'The token lacks required claims.');
  };
}

/**
 * Checks the times of a token that was verified before.
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
