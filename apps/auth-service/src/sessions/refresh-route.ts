import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { RefreshRequest, SignedIn } from '@latchkey/user-schema';
import { originOf } from '../events/recorder.js';
import { InvalidRefreshTokenError } from '../http/errors.js';
import { refreshSession } from './refresh.js';
import type { Lifetimes } from './session.js';

export const refreshRoute: FastifyPluginAsyncTypebox<{ config: Lifetimes }> = async (app, { config }) => {
  const schema = {
    tags: ['auth'],
    operationId: 'refresh',
    summary: 'Exchange a refresh token for new tokens',
    description:
      'Within the grace period a used token gives the same successor again, so a request whose response was lost may be repeated; the time of an outage of the database does not count. An older token was stolen, and ends the session.',
    body: RefreshRequest,
    response: { 200: SignedIn, ...problemResponses(InvalidRefreshTokenError) },
  };
  app.post('/auth/refresh', { config: { audience: 'browsers' }, schema }, async (request, reply) => {
    const token = app.refreshTokens.parse(request.body.refreshToken);
    if (!token) throw new InvalidRefreshTokenError();
    const lifetimes = { ...config, refreshGraceS: app.refreshGraceS() };
    const refreshed = await refreshSession(app.pg, token, lifetimes, originOf(request));
    if (!refreshed) throw new InvalidRefreshTokenError();
    const { account, session, events, stolen } = refreshed;
    app.announce(request, { events, ended: stolen ? [stolen] : [] });
    if (stolen) throw new InvalidRefreshTokenError();
    return reply.send(app.issueTokens(account, session));
  });
};
