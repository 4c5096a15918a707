import type { AccessTokenClaims } from '@latchkey/user-schema';
import type { FastifyPluginAsync, onRequestAsyncHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import { createVerify, TokenRejectedError, type VerifierOptions } from './verifier.js';

export type { AccessTokenClaims } from '@latchkey/user-schema';
export type { VerifierOptions } from './verifier.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Hook that lets only a valid access token pass and sets `request.user`. */
    authenticate: onRequestAsyncHookHandler;
  }
  interface FastifyRequest {
    /** Claims of the access token, set behind {@link FastifyInstance.authenticate}. */
    user: AccessTokenClaims;
  }
}

/** What the guard throws. Fastify's own error handler, or yours, answers with `statusCode` and `code`. */
export class AuthGuardError extends Error {
  override readonly name = 'AuthGuardError';
  /** `missing_token` and `invalid_token` are 401, `service_unavailable` (no keys could be fetched) is 503. */
  readonly code: 'missing_token' | 'invalid_token' | 'service_unavailable';
  readonly statusCode: 401 | 503;

  constructor(code: AuthGuardError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.statusCode = code === 'service_unavailable' ? 503 : 401;
  }
}

const BEARER = /^Bearer +(\S+)$/i;
const RETRY_AFTER_S = 1;

const guard: FastifyPluginAsync<VerifierOptions> = async (app, options) => {
  const verify = createVerify(options);
  app.decorateRequest('user');
  app.decorate('authenticate', async (request, reply) => {
    const { authorization } = request.headers;
    if (authorization === undefined) {
      reply.header('www-authenticate', 'Bearer');
      throw new AuthGuardError('missing_token', 'Send an access token: Authorization: Bearer …');
    }
    try {
      const [, token = ''] = BEARER.exec(authorization) ?? [];
      request.user = await verify(token);
    } catch (cause) {
      if (cause instanceof TokenRejectedError) {
        reply.header('www-authenticate', 'Bearer error="invalid_token"');
        throw new AuthGuardError('invalid_token', 'The access token is not valid or has expired.', { cause });
      }
      reply.header('retry-after', RETRY_AFTER_S);
      throw new AuthGuardError('service_unavailable', 'Tokens cannot be verified right now.', { cause });
    }
  });
};

/**
 * Fastify plugin that guards routes by access tokens, verified offline with the issuer's keys:
 *
 * ```ts
 * await app.register(authGuard, { issuer: 'https://auth.example.com', audience: 'latchkey' });
 * app.get('/mine', { onRequest: app.authenticate }, request => `Hello ${request.user.username}`);
 * ```
 *
 * Requests without a valid token reject with an {@link AuthGuardError} and carry `WWW-Authenticate` (RFC 6750 §3).
 */
export const authGuard: FastifyPluginAsync<VerifierOptions> = fp(guard, { name: 'auth-guard', fastify: '5.x' });
