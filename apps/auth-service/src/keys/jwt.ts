import jwt, { type JWT } from '@fastify/jwt';
import type { AccessTokenClaims, PublicJwk, ServiceTokenClaims } from '@latchkey/user-schema';
import { fastify } from 'fastify';
import type { HttpSettings } from '../config/sections/http.js';
import type { TokenSettings } from '../config/sections/tokens.js';
import { publicPem } from './signing-key.js';

/** Claims of any token that this service signs. */
export type Claims = AccessTokenClaims | ServiceTokenClaims;

/** Whether the token is a user's, and not a service's. */
export const isUsers = (claims: Claims): claims is AccessTokenClaims => 'sid' in claims;

/** Claims before they are signed: the signer adds `iss` and `aud`. */
export type UnsignedClaims = Omit<AccessTokenClaims, 'iss' | 'aud'> | Omit<ServiceTokenClaims, 'iss' | 'aud'>;

export type { JWT };

/** The issuer and the audience of the tokens. */
export type JwtSettings = Pick<HttpSettings, 'publicUrl'> & Pick<TokenSettings, 'tokenAudience'>;

const TYPE = 'at+jwt';
const MAX_LENGTH = 8192;
// The last character of a 64 or 256-byte signature carries 2 of its bits; with other values of the rest it would decode
// to the same bytes, and one token would have sixteen spellings.
const CANONICAL = /^[\w-]+\.[\w-]+\.[\w-]*[AQgw]$/;
const REQUIRED_CLAIMS: (keyof Claims)[] = ['iss', 'aud', 'sub', 'client_id', 'iat', 'exp', 'jti'];

/**
 * Makes a signer and verifier for one key. @fastify/jwt holds one key for the life of an app, and keys are rotated, so each key
 * gets an app of its own.
 *
 * @param privatePem when not given, the key only verifies
 */
export async function createJwt(
  publicJwk: PublicJwk,
  privatePem: string | undefined,
  config: JwtSettings,
): Promise<JWT> {
  const { alg: algorithm, kid } = publicJwk;
  const holder = fastify();
  await holder.register(jwt, {
    secret: { public: publicPem(publicJwk), ...(privatePem !== undefined && { private: privatePem }) } as never,
    sign: {
      algorithm,
      kid,
      header: { alg: algorithm, typ: TYPE },
      iss: config.publicUrl,
      aud: config.tokenAudience,
    },
    verify: {
      algorithms: [algorithm],
      checkTyp: TYPE,
      allowedIss: config.publicUrl,
      allowedAud: config.tokenAudience,
      requiredClaims: REQUIRED_CLAIMS,
    },
  });
  await holder.ready();
  return holder.jwt;
}

/** The first segment of every token that a key has signed. */
export function headerOf({ alg, kid }: PublicJwk): string {
  return Buffer.from(JSON.stringify({ alg, typ: TYPE, kid })).toString('base64url');
}

/** Whether a text has the form of a token, with the canonical spelling of its signature. */
export function isWellFormed(token: string): boolean {
  return token.length <= MAX_LENGTH && CANONICAL.test(token);
}
