import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import {
  AuthorizationServerMetadata,
  Jwks,
  metadataOf,
  OpenIdConfiguration,
  openIdConfigurationOf,
} from '@latchkey/user-schema';
import type { HttpSettings } from '../config/sections/http.js';
import { publicHeaders } from '../http/public-headers.js';
import { JWKS_MAX_AGE_S } from './rotation.js';

export const wellKnownRoutes: FastifyPluginAsyncTypebox<{ config: HttpSettings }> = async (app, { config }) => {
  const headers = publicHeaders(JWKS_MAX_AGE_S);

  const jwks = {
    tags: ['gateway'],
    operationId: 'getJwks',
    summary: 'Public keys that verify access tokens (RFC 7517)',
    response: { 200: Jwks },
  };
  app.get('/.well-known/jwks.json', { logLevel: 'warn', schema: jwks }, (_request, reply) => {
    reply.headers(headers).send(app.signingKeys.jwks());
  });

  const server = {
    tags: ['services'],
    operationId: 'getAuthorizationServerMetadata',
    summary: 'What this authorization server offers (RFC 8414)',
    response: { 200: AuthorizationServerMetadata },
  };
  app.get('/.well-known/oauth-authorization-server', { schema: server }, (_request, reply) => {
    reply.headers(headers).send(metadataOf(config.publicUrl));
  });

  // Libraries that were made for OpenID Connect ask here, and often nowhere else.
  const discovery = {
    tags: ['services'],
    operationId: 'getOpenIdConfiguration',
    summary: 'The same, for clients that look for it here, with the algorithms of access tokens',
    response: { 200: OpenIdConfiguration },
  };
  app.get('/.well-known/openid-configuration', { schema: discovery }, (_request, reply) => {
    reply.headers(headers).send(openIdConfigurationOf(config.publicUrl));
  });
};
