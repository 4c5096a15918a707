import { type Static, Type } from '@sinclair/typebox';
import { Problem } from './problem.js';
import { REVOCATIONS_SCOPE } from './revocation.js';
import { SIGNING_ALGORITHMS } from './token.js';

// In place of HTTP Basic (RFC 6749 §2.3.1).
const clientAuthentication = {
  client_id: Type.Optional(Type.String({ maxLength: 64 })),
  client_secret: Type.Optional(Type.String({ maxLength: 256 })),
};

/** The form of a request for a service's access token by client credentials (RFC 6749 §4.4.2). */
export const TokenRequest = Type.Object({
  grant_type: Type.String({ description: '`client_credentials`' }),
  scope: Type.Optional(Type.String({ description: 'Scopes, separated by spaces; all of the client’s by default' })),
  ...clientAuthentication,
});
export type TokenRequest = Static<typeof TokenRequest>;

/** The response to a token request (RFC 6749 §5.1). `expires_in` is in seconds. */
export const ServiceToken = Type.Object({
  access_token: Type.String(),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer({ description: 'Lifetime in seconds' }),
  scope: Type.String({ description: 'Scopes, separated by spaces' }),
});
export type ServiceToken = Static<typeof ServiceToken>;

/** The form of an introspection (RFC 7662 §2.1) or a revocation (RFC 7009 §2.1). */
export const TokenQuery = Type.Object({
  token: Type.String(),
  token_type_hint: Type.Optional(Type.String({ description: 'Ignored: the token shows its type' })),
  ...clientAuthentication,
});
export type TokenQuery = Static<typeof TokenQuery>;

/** The response to an introspection (RFC 7662 §2.2); for an inactive token `active` alone. Times: seconds since 1970. */
export const Introspection = Type.Object({
  active: Type.Boolean(),
  token_type: Type.Optional(Type.String({ description: '`Bearer` or `refresh_token`' })),
  scope: Type.Optional(Type.String()),
  client_id: Type.Optional(Type.String()),
  username: Type.Optional(Type.String()),
  sub: Type.Optional(Type.String()),
  sid: Type.Optional(Type.String({ description: 'Id of the session' })),
  aud: Type.Optional(Type.String()),
  iss: Type.Optional(Type.String()),
  jti: Type.Optional(Type.String()),
  iat: Type.Optional(Type.Integer()),
  exp: Type.Optional(Type.Integer()),
});
export type Introspection = Static<typeof Introspection>;

/** The metadata of the authorization server (RFC 8414 §2). */
export const AuthorizationServerMetadata = Type.Object({
  issuer: Type.String(),
  jwks_uri: Type.String(),
  token_endpoint: Type.String(),
  introspection_endpoint: Type.String(),
  revocation_endpoint: Type.String(),
  grant_types_supported: Type.Array(Type.String()),
  response_types_supported: Type.Array(Type.String()),
  scopes_supported: Type.Array(Type.String()),
  token_endpoint_auth_methods_supported: Type.Array(Type.String()),
  introspection_endpoint_auth_methods_supported: Type.Array(Type.String()),
  revocation_endpoint_auth_methods_supported: Type.Array(Type.String()),
});
export type AuthorizationServerMetadata = Static<typeof AuthorizationServerMetadata>;

/**
 * What clients find at the path of OpenID Connect Discovery 1.0 §4: the metadata of RFC 8414, and how access tokens are signed. There are no
 * ID tokens and no authorization endpoint.
 */
export const OpenIdConfiguration = Type.Composite([
  AuthorizationServerMetadata,
  Type.Object({
    subject_types_supported: Type.Array(Type.String()),
    id_token_signing_alg_values_supported: Type.Array(Type.String(), {
      description: 'What access tokens may be signed with; clients look for it here',
    }),
  }),
]);
export type OpenIdConfiguration = Static<typeof OpenIdConfiguration>;

const AUTHENTICATION = ['client_secret_basic', 'client_secret_post'];

/** Makes the metadata of an issuer, whose URL its endpoints begin with. */
export function metadataOf(issuer: string): AuthorizationServerMetadata {
  return {
    issuer,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    token_endpoint: `${issuer}/oauth/token`,
    introspection_endpoint: `${issuer}/oauth/introspect`,
    revocation_endpoint: `${issuer}/oauth/revoke`,
    grant_types_supported: ['client_credentials'],
    // RFC 8414 requires it, and forbids empty lists. There is no authorization endpoint, which would respond with nothing.
    response_types_supported: ['none'],
    scopes_supported: [REVOCATIONS_SCOPE],
    token_endpoint_auth_methods_supported: AUTHENTICATION,
    introspection_endpoint_auth_methods_supported: AUTHENTICATION,
    revocation_endpoint_auth_methods_supported: AUTHENTICATION,
  };
}

/** Makes the configuration of an issuer that clients ask for by OpenID Connect Discovery. */
export function openIdConfigurationOf(issuer: string): OpenIdConfiguration {
  return {
    ...metadataOf(issuer),
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: [...SIGNING_ALGORITHMS],
  };
}

/** An error response of the OAuth endpoints: an error of RFC 6749 §5.2 and a {@link Problem} in one. */
export const OAuthProblem = Type.Composite([
  Problem,
  Type.Object({ error: Type.String({ description: 'The same as `code`' }), error_description: Type.String() }),
]);
export type OAuthProblem = Static<typeof OAuthProblem>;
