import { type Static, Type } from '@sinclair/typebox';
import { User } from './user.js';

/** The response to sign-up, sign-in, refresh and password change. Lifetimes are in seconds. */
export const SignedIn = Type.Object({
  token: Type.String({ description: 'Access token: a JWT as in RFC 9068' }),
  tokenType: Type.Literal('Bearer'),
  expiresIn: Type.Integer({ description: 'Lifetime of the access token, in seconds' }),
  refreshToken: Type.String({ description: 'Good for one refresh; its response has the next' }),
  refreshExpiresIn: Type.Integer({ description: 'How long the session lives without a refresh, in seconds' }),
  user: User,
});
export type SignedIn = Static<typeof SignedIn>;

/**
 * Claims of a user's access token (RFC 9068 §2.2), with session, account id and username. Times are in seconds since 1970.
 * Tokens of services of the version before lack `auth_time`, `amr` and `acr`.
 */
export const AccessTokenClaims = Type.Object({
  iss: Type.String(),
  aud: Type.String(),
  sub: Type.String(),
  client_id: Type.String(),
  iat: Type.Integer(),
  exp: Type.Integer(),
  jti: Type.String(),
  sid: Type.String({ description: 'Id of the session' }),
  id: Type.String(),
  username: Type.String(),
  auth_time: Type.Optional(Type.Integer({ description: 'When the user signed in; a refresh keeps it' })),
  amr: Type.Optional(Type.Array(Type.String(), { description: 'How the user signed in (RFC 8176), such as `pwd`' })),
  acr: Type.Optional(
    Type.String({ description: 'How well that identifies the user (NIST SP 800-63B): `aal1` or `aal2`' }),
  ),
});
export type AccessTokenClaims = Static<typeof AccessTokenClaims>;

/** How well a user is identified (NIST SP 800-63B-4 §2): by a password, or by two factors or a passkey. */
export const ACRS = ['aal1', 'aal2'] as const;
export type Acr = (typeof ACRS)[number];

/** What a request demands of the sign-in behind its token (RFC 9470). */
export type AuthenticationDemand = {
  /** The least `acr`. */
  acr?: Acr;
  /** How long ago the user may have proved it, in seconds. */
  maxAgeS?: number;
};

/** The query of `GET /auth/verify`: what the gateway demands. */
export const VerifyQuery = Type.Object(
  {
    acr: Type.Optional(Type.Unsafe<Acr>(Type.String({ enum: [...ACRS], description: 'The least `acr` of the token' }))),
    // A string, because query parameters are strings and Ajv does not coerce types.
    max_age: Type.Optional(
      Type.String({
        pattern: '^[0-9]{1,9}$',
        'x-message': 'A number of seconds.',
        description: 'How long ago the user may have signed in, in seconds',
      }),
    ),
  },
  { additionalProperties: false },
);
export type VerifyQuery = Static<typeof VerifyQuery>;

/** Whether claims meet a demand. Tokens without `acr` and `auth_time` are of a password, at no known time. */
export function meetsDemand(
  { acr, auth_time: authTime }: Pick<AccessTokenClaims, 'acr' | 'auth_time'>,
  demand: AuthenticationDemand,
  nowS: number = Date.now() / 1000,
): boolean {
  const isStrong = demand.acr === undefined || demand.acr === 'aal1' || acr === 'aal2';
  return isStrong && (demand.maxAgeS === undefined || nowS - (authTime ?? 0) <= demand.maxAgeS);
}

/** The header `WWW-Authenticate` of a response that demands more (RFC 9470 §3). */
export function demandChallenge({ acr, maxAgeS }: { acr?: string | undefined; maxAgeS?: number | undefined }): string {
  const parts = [
    'Bearer error="insufficient_user_authentication"',
    ...(acr === undefined ? [] : [`acr_values="${acr}"`]),
    ...(maxAgeS === undefined ? [] : [`max_age=${maxAgeS}`]),
  ];
  return parts.join(', ');
}

/** Claims of a service's access token (RFC 9068 §2.2): a scope and no account. Times are in seconds since 1970. */
export const ServiceTokenClaims = Type.Object({
  iss: Type.String(),
  aud: Type.String(),
  sub: Type.String({ description: 'Id of the client, as `client_id`' }),
  client_id: Type.String(),
  iat: Type.Integer(),
  exp: Type.Integer(),
  jti: Type.String(),
  scope: Type.String({ description: 'Scopes, separated by spaces' }),
});
export type ServiceTokenClaims = Static<typeof ServiceTokenClaims>;

/** The algorithms that may sign access tokens (RFC 7518 §3.1, RFC 8037 §3.1). */
export const SIGNING_ALGORITHMS = ['ES256', 'EdDSA', 'RS256'] as const;
export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number];

/** A public signing key (RFC 7517 §4). `kty` decides which of the last five members are present. */
export const PublicJwk = Type.Object({
  kty: Type.String(),
  kid: Type.String({ description: 'RFC 7638 thumbprint' }),
  alg: Type.Unsafe<SigningAlgorithm>(Type.String({ enum: [...SIGNING_ALGORITHMS] })),
  use: Type.Literal('sig'),
  crv: Type.Optional(Type.String()),
  x: Type.Optional(Type.String()),
  y: Type.Optional(Type.String()),
  n: Type.Optional(Type.String()),
  e: Type.Optional(Type.String()),
});
export type PublicJwk = Static<typeof PublicJwk>;

/** The keys that verify access tokens (RFC 7517 §5). */
export const Jwks = Type.Object({ keys: Type.Array(PublicJwk) });
export type Jwks = Static<typeof Jwks>;
