import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { AuthorizationServerMetadata, Jwks, REVOCATIONS_SCOPE } from '@latchkey/user-schema';
import type { HttpSettings } from '../config/sections/http.js';
import { JWKS_MAX_AGE_S } from './rotation.js';

export const wellKnownRoutes: FastifyPluginAsyncTypebox<{ config: HttpSettings }> = async (app, { config }) => {
  // Any page may read these responses, and any cache may keep them.
  const PUBLIC_HEADERS = {
    'cache-control': `public, max-age=${JWKS_MAX_AGE_S}`,
    'access-control-allow-origin': '*',
    'cross-origin-resource-policy': 'cross-origin',
  };

  const jwks = {
    tags: ['gateway'],
    operationId: 'getJwks',
    summary: 'Public keys that verify access tokens (RFC 7517)',
    response: { 200: Jwks },
  };
  app.get('/.well-known/jwks.json', { logLevel: 'warn', schema: jwks }, (_request, reply) => {
    reply.headers(PUBLIC_HEADERS).send(app.signingKeys.jwks());
  });

  const authentication = ['client_secret_basic', 'client_secret_post'];
  const metadata: AuthorizationServerMetadata = {
    issuer: config.publicUrl,
    jwks_uri: `${config.publicUrl}/.well-known/jwks.json`,
    token_endpoint: `${config.publicUrl}/oauth/token`,
    introspection_endpoint: `${config.publicUrl}/oauth/introspect`,
    revocation_endpoint: `${config.publicUrl}/oauth/revoke`,
    grant_types_supported: ['client_credentials'],
    // Required by RFC 8414; there is no authorization endpoint.
    response_types_supported: [],
    scopes_supported: [REVOCATIONS_SCOPE],
    token_endpoint_auth_methods_supported: authentication,
    introspection_endpoint_auth_methods_supported: authentication,
    revocation_endpoint_auth_methods_supported: authentication,
  };
  const server = {
    tags: ['services'],
    operationId: 'getAuthorizationServerMetadata',
    summary: 'What this authorization server offers (RFC 8414)',
    response: { 200: AuthorizationServerMetadata },
  };
  app.get('/.well-known/oauth-authorization-server', { schema: server }, (_request, reply) => {
    reply.headers(PUBLIC_HEADERS).send(metadata);
  });
};
