import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { RefreshRequest, SignedIn } from '@latchkey/user-schema';
import { logEvent, originOf } from '../audit.js';
import type { WithConfig } from '../config.js';
import { refreshSession } from '../data/refresh.js';
import { InvalidRefreshTokenError } from '../errors.js';
import { parseRefreshToken } from '../tokens/refresh-token.js';
import { problemAnswers } from './problem-answers.js';

export const refreshRoute: FastifyPluginAsyncTypebox<WithConfig> = async (app, { config }) => {
  const schema = {
    tags: ['auth'],
    summary: 'Exchange a refresh token for new tokens',
    description:
      'Within the grace period a used token gives the same successor again, so a lost answer may be asked for again; an outage of the database does not count. An older one is taken for stolen and ends the session.',
    body: RefreshRequest,
    response: { 200: SignedIn, ...problemAnswers(400, 401, 413, 415, 503) },
  };
  app.post('/auth/refresh', { schema }, async (request, reply) => {
    const token = parseRefreshToken(request.body.refreshToken);
    if (!token) throw new InvalidRefreshTokenError();
    const presented = { ...token, seeds: app.refreshTokens.seeds(token) };
    const lifetimes = { ...config, refreshGraceS: app.refreshGraceS() };
    const session = await refreshSession(app.pg, presented, lifetimes, originOf(request));
    if (!session) throw new InvalidRefreshTokenError();
    const event = session.stolen ? 'refresh_token_reuse' : 'refresh';
    if (session.stolen || session.advanced) {
      logEvent(request, event, { userId: session.userId, sessionId: session.id });
    }
    if (session.stolen) {
      app.revocations.add([{ sid: session.id, exp: session.lastTokenExpiresAt }]);
      throw new InvalidRefreshTokenError();
    }
    const { userId: id, username, createdAt } = session;
    return reply.send(app.issueTokens({ id, username, createdAt }, session));
  });
};
