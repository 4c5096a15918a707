import { type AccessTokenClaims, type AuthenticationDemand, meetsDemand } from '@latchkey/user-schema';
import type { FastifyRequest, onRequestHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import type { FactorSettings } from '../config/sections/factors.js';
import { InsufficientScopeError, InvalidTokenError, MissingTokenError } from '../http/errors.js';
import { type Claims, isUsers } from '../keys/jwt.js';
import { insufficientAuthentication } from './demand.js';
import { createTokenCache } from './token-cache.js';

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Hook that lets only a valid access token of a user pass and sets `request.claims`. With SECOND_FACTOR=required, that of a user
     * without a second factor does not pass. No database access.
     */
    authenticate: onRequestHookHandler;
    /** As `authenticate`, for what a user without a second factor may always do: add one, and sign out. */
    authenticateAny: onRequestHookHandler;
    /** The claims of a user's valid access token in an `Authorization` value, when it was verified lately; otherwise `undefined`. */
    findVerified(authorization: string): AccessTokenClaims | undefined;
    /** Makes a hook that lets only a service's access token with a scope pass. No database access. */
    authenticateService(scope: string): onRequestHookHandler;
    /** Says which users' tokens are refused although they are genuine and have not expired. */
    refuseTokens(isRefused: (claims: AccessTokenClaims) => boolean): void;
  }
  interface FastifyRequest {
    /** The claims of the access token; set by `authenticate`. */
    claims: AccessTokenClaims;
  }
}

/** Guards routes by access tokens. */
export default fp<{ config: FactorSettings }>(
  async (app, { config }) => {
    const demand: AuthenticationDemand = config.secondFactor === 'required' ? { acr: 'aal2' } : {};
    const verified = createTokenCache(token => {
      try {
        return app.signingKeys.verify(token);
      } catch (cause) {
        throw new InvalidTokenError({ cause });
      }
    });
    app.signingKeys.onChange(verified.clear);

    let isRefused: (claims: AccessTokenClaims) => boolean = () => false;
    app.decorate('refuseTokens', judge => {
      isRefused = judge;
    });

    const guard =
      (accept: (claims: Claims, request: FastifyRequest) => void): onRequestHookHandler =>
      (request, _reply, done) => {
        const { authorization } = request.headers;
        if (authorization === undefined) return done(new MissingTokenError());
        try {
          accept(verified.find(authorization), request);
        } catch (error) {
          return done(error as Error);
        }
        done();
      };
    app.decorateRequest('claims');
    const authenticate = (demand: AuthenticationDemand) =>
      guard((claims, request) => {
        if (!isUsers(claims) || isRefused(claims)) throw new InvalidTokenError();
        if (!meetsDemand(claims, demand)) throw insufficientAuthentication(demand);
        request.claims = claims;
      });
    app.decorate('authenticate', authenticate(demand));
    app.decorate('authenticateAny', authenticate({}));
    app.decorate('findVerified', authorization => {
      const claims = verified.findKnown(authorization);
      const isAccepted = claims !== undefined && isUsers(claims) && !isRefused(claims) && meetsDemand(claims, demand);
      return isAccepted ? claims : undefined;
    });
    app.decorate('authenticateService', scope =>
      guard(claims => {
        if (isUsers(claims) || !claims.scope.split(' ').includes(scope)) throw insufficientScope(scope);
      }),
    );
  },
  { name: 'guards', dependencies: ['keys'] },
);

function insufficientScope(scope: string): Error {
  const challenge = `Bearer error="insufficient_scope", scope="${scope}"`;
  return Object.assign(new InsufficientScopeError(scope), { headers: { 'www-authenticate': challenge } });
}
