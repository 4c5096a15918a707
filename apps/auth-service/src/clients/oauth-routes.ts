import formbody from '@fastify/formbody';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import {
  describeError,
  type ProblemFormat,
  problemResponsesAs,
  type RequestError,
  toProblem,
} from '@latchkey/service-kit/http';
import { Introspection, OAuthProblem, ServiceToken, TokenQuery, TokenRequest } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import type { HttpSettings } from '../config/sections/http.js';
import type { TokenSettings } from '../config/sections/tokens.js';
import { originOf } from '../events/recorder.js';
import {
  InvalidClientError,
  InvalidScopeError,
  UnsupportedGrantTypeError,
  UnsupportedTokenTypeError,
} from '../http/errors.js';
import { endSessions } from '../sessions/end.js';
import { serviceTokenClaims } from '../tokens/claims.js';
import { authenticateClient } from './authentication.js';
import { createTokenInspector } from './token-inspector.js';

const Revoked = Type.Unsafe<undefined>({ type: 'null', description: 'Empty: the token is not valid any more' });

const WRONG_TYPE = 'Send the body as Content-Type: application/x-www-form-urlencoded.';

/** Problems as errors of RFC 6749 §5.2. */
const OAUTH_FORMAT: ProblemFormat = {
  contentType: 'application/json',
  schema: OAuthProblem,
  toBody(described, requestId): OAuthProblem {
    const detail = described.status === 415 ? WRONG_TYPE : described.detail;
    return { ...toProblem({ ...described, detail }, requestId), error: described.code, error_description: detail };
  },
};

/** What OAuth calls for services, with forms and errors as in RFC 6749. */
export const oauthRoutes: FastifyPluginAsyncTypebox<{ config: HttpSettings & TokenSettings }> = async (
  app,
  { config },
) => {
  app.removeAllContentTypeParsers();
  await app.register(formbody);

  app.setErrorHandler<RequestError>((error, request, reply) => {
    const described = describeError(error);
    if (error instanceof InvalidClientError) request.log.info({ event: 'client_refused' }, 'client_refused');
    if (described.status >= 500) request.log.error({ err: error }, described.code);
    const body = OAUTH_FORMAT.toBody(described, request.id);
    return reply.status(described.status).headers(described.headers).type(OAUTH_FORMAT.contentType).send(body);
  });
  app.addHook('onRequest', async (_request, reply) => {
    // RFC 6749 §5.1 wants it beside `Cache-Control: no-store`.
    reply.header('pragma', 'no-cache');
  });

  const common = { tags: ['services'], security: [{ client: [] }], consumes: ['application/x-www-form-urlencoded'] };
  const inspector = createTokenInspector(app, config);

  const token = {
    ...common,
    operationId: 'issueServiceToken',
    summary: 'Get an access token for a service (RFC 6749 §4.4)',
    body: TokenRequest,
    response: { 200: ServiceToken, ...problemResponsesAs(OAUTH_FORMAT, InvalidScopeError, UnsupportedGrantTypeError) },
  };
  app.post('/oauth/token', { config: { audience: 'services' }, schema: token }, async request => {
    const client = await authenticateClient(app.pg, request.headers.authorization, request.body);
    if (request.body.grant_type !== 'client_credentials') throw new UnsupportedGrantTypeError();
    const asked = new Set(request.body.scope?.split(' ').filter(Boolean));
    // A parameter without a value counts as left out (RFC 6749 §3.2).
    const scopes = asked.size > 0 ? [...asked] : client.scopes;
    if (scopes.some(scope => !client.scopes.includes(scope))) throw new InvalidScopeError();
    request.log.info({ event: 'service_token', clientId: client.id, scopes }, 'service_token');
    const scope = scopes.join(' ');
    const { accessTokenTtlS } = config;
    return {
      access_token: app.signingKeys.sign(serviceTokenClaims(client, scope, accessTokenTtlS)),
      token_type: 'Bearer' as const,
      expires_in: accessTokenTtlS,
      scope,
    };
  });

  const introspect = {
    ...common,
    operationId: 'introspectToken',
    summary: 'Describe a token, and say whether it is valid (RFC 7662)',
    body: TokenQuery,
    response: { 200: Introspection, ...problemResponsesAs(OAUTH_FORMAT) },
  };
  app.post('/oauth/introspect', { config: { audience: 'services' }, schema: introspect }, async request => {
    await authenticateClient(app.pg, request.headers.authorization, request.body);
    return inspector.introspect(request.body.token);
  });

  const revoke = {
    ...common,
    operationId: 'revokeToken',
    summary: 'End the session of a token (RFC 7009)',
    body: TokenQuery,
    response: { 200: Revoked, ...problemResponsesAs(OAUTH_FORMAT, UnsupportedTokenTypeError) },
  };
  app.post('/oauth/revoke', { config: { audience: 'services' }, schema: revoke }, async (request, reply) => {
    const { id: clientId } = await authenticateClient(app.pg, request.headers.authorization, request.body);
    const found = await inspector.findSession(request.body.token);
    if (found === 'service') throw new UnsupportedTokenTypeError();
    if (found) {
      const why = { reason: 'session_ended', clientId } as const;
      const origin = originOf(request, `client:${clientId}`);
      app.announce(request, await endSessions(app.pg, { ...found, scope: 'current' }, why, origin));
    }
    return reply.send(undefined);
  });
};
