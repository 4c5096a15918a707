import { randomUUID } from 'node:crypto';
import type { AccessTokenClaims, ServiceToken, SignedIn, User } from '@latchkey/user-schema';
import type { onRequestHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import type { StoredClient } from '../clients/stored-clients.js';
import type { WithConfig } from '../config/settings.js';
import { InsufficientScopeError, InvalidTokenError, MissingTokenError } from '../http/errors.js';
import type { Claims } from '../keys/ring.js';
import { createRefreshTokens, type RefreshTokens } from '../sessions/refresh-token.js';
import type { SessionState } from '../sessions/stored-sessions.js';
import { createTokenCache } from './token-cache.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Hook that lets only a valid access token of a user pass and sets `request.user` to its claims. No database access. */
    authenticate: onRequestHookHandler;
    /** Makes a hook that lets only a service's access token with a scope pass. No database access. */
    authenticateService(scope: string): onRequestHookHandler;
    /** Issues the tokens of a session. */
    issueTokens(user: User, session: SessionState): SignedIn;
    /** Issues an access token of a service. */
    issueServiceToken(client: StoredClient, scope: string): ServiceToken;
    refreshTokens: RefreshTokens;
  }
}

declare module '@fastify/jwt' {
  interface FastifyJWT {
    user: AccessTokenClaims;
  }
}

// RFC 9068 §2.2 requires the client; people sign in with the service itself.
const CLIENT_ID = 'latchkey';

/** Issues tokens and guards routes by them. */
export default fp<WithConfig>(
  async (app, { config }) => {
    const refreshTokens = createRefreshTokens(config.authSecrets);
    app.decorate('refreshTokens', refreshTokens);

    app.decorate('issueTokens', (user, session) => ({
      token: app.signingKeys.sign({
        sub: user.id,
        client_id: CLIENT_ID,
        jti: randomUUID(),
        sid: session.id,
        id: user.id,
        username: user.username,
        // The database's times, so that no replica's clock lets a token outlive its revocation.
        iat: session.issuedAt,
        exp: session.tokenExpiresAt,
      }),
      tokenType: 'Bearer',
      expiresIn: session.tokenExpiresAt - session.issuedAt,
      refreshToken: refreshTokens.issue(session),
      refreshExpiresIn: session.refreshExpiresIn,
      user,
    }));

    app.decorate('issueServiceToken', ({ id, now: iat }, scope) => {
      const exp = iat + config.accessTokenTtlS;
      const claims = { sub: id, client_id: id, jti: randomUUID(), scope, iat, exp };
      return {
        access_token: app.signingKeys.sign(claims),
        token_type: 'Bearer',
        expires_in: config.accessTokenTtlS,
        scope,
      };
    });

    const verified = createTokenCache(token => {
      try {
        return app.signingKeys.verify(token);
      } catch (cause) {
        throw new InvalidTokenError({ cause });
      }
    });
    app.signingKeys.onChange(verified.clear);

    app.decorateRequest('user');
    app.decorate('authenticate', (request, _reply, done) => {
      const { authorization } = request.headers;
      if (authorization === undefined) return done(new MissingTokenError());
      try {
        const claims = verified.find(authorization);
        if (!isUsers(claims) || app.revocations.has(claims.sid)) throw new InvalidTokenError();
        request.user = claims;
      } catch (error) {
        return done(error as Error);
      }
      done();
    });

    app.decorate('authenticateService', scope => (request, _reply, done) => {
      const { authorization } = request.headers;
      if (authorization === undefined) return done(new MissingTokenError());
      try {
        const claims = verified.find(authorization);
        if (isUsers(claims) || !claims.scope.split(' ').includes(scope)) throw insufficientScope(scope);
      } catch (error) {
        return done(error as Error);
      }
      done();
    });
  },
  { name: 'tokens', dependencies: ['signing-keys', 'revocations'] },
);

/** Tells a user's token from a service's. */
export function isUsers(claims: Claims): claims is AccessTokenClaims {
  return 'sid' in claims;
}

function insufficientScope(scope: string): Error {
  const challenge = `Bearer error="insufficient_scope", scope="${scope}"`;
  return Object.assign(new InsufficientScopeError(scope), { headers: { 'www-authenticate': challenge } });
}
