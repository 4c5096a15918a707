import type { AccessTokenClaims, ServiceTokenClaims } from '@latchkey/user-schema';
import type { FastifyPluginAsync, FastifyReply, FastifyRequest, onRequestAsyncHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import { sleep } from './lib/sleep.js';
import { createVerifier, type VerifierOptions } from './verifier.js';
import { TokenRejectedError, VerifierConfigurationError } from './verifier-errors.js';

export type { AccessTokenClaims, ServiceTokenClaims } from '@latchkey/user-schema';
export type { VerifierOptions } from './verifier.js';

/** Options of {@link authGuard}. */
export interface AuthGuardOptions extends VerifierOptions {
  /**
   * What happens when the auth-service refuses `client` while the app starts: with `reject` (the default), `app.ready()` and
   * `app.listen()` reject with a `VerifierConfigurationError`; with `warn`, the error is only logged. When the auth-service
   * cannot be reached, the app starts in any case.
   */
  onRefusedClient?: 'reject' | 'warn';
}

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * `onRequest` hook that requires a user's access token and sets `request.user`.
     *
     * @throws AuthGuardError
     */
    authenticate: onRequestAsyncHookHandler;
    /**
     * Creates an `onRequest` hook that requires a service's access token with a scope and sets `request.service`. The hook
     * throws an {@link AuthGuardError}.
     *
     * @throws TypeError when `scope` is not a scope (RFC 6749 §3.3)
     */
    authenticateService(scope: string): onRequestAsyncHookHandler;
  }
  interface FastifyRequest {
    /** Claims of the user's access token; set by {@link FastifyInstance.authenticate}. */
    user: AccessTokenClaims;
    /** Claims of the service's access token; set by {@link FastifyInstance.authenticateService}. */
    service: ServiceTokenClaims;
  }
}

/**
 * What the guard throws. `www-authenticate` (RFC 6750 §3) or, with 503, `retry-after` is set on the reply already.
 *
 * The error handler of the app decides the body: services on `@latchkey/service-kit` respond with a problem (RFC 9457) that
 * has this `code`. An app without an error handler responds as Fastify does to every error, with `application/json`:
 *
 * ```json
 * {"statusCode":401,"code":"missing_token","error":"Unauthorized","message":"Send an access token: Authorization: Bearer …"}
 * ```
 */
export class AuthGuardError extends Error {
  override readonly name = 'AuthGuardError';
  /**
   * `missing_token` and `invalid_token` (401), `insufficient_scope` (403), or `service_unavailable` (503): the keys could
   * not be fetched, or the feed of ended sessions is stale and `onStale` is `closed`.
   */
  readonly code: 'missing_token' | 'invalid_token' | 'insufficient_scope' | 'service_unavailable';
  /** HTTP status of the response. */
  readonly statusCode: 401 | 403 | 503;

  constructor(code: AuthGuardError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.statusCode = STATUS[code];
  }
}

const STATUS = { missing_token: 401, invalid_token: 401, insufficient_scope: 403, service_unavailable: 503 } as const;
const BEARER = /^Bearer +(\S+)$/i;
const RETRY_AFTER_S = 1;
const START_WAIT_MS = 5000;

const guard: FastifyPluginAsync<AuthGuardOptions> = async (app, { onRefusedClient = 'reject', ...options }) => {
  const verifier = createVerifier({
    onWarning: error => {
      const level = error instanceof VerifierConfigurationError ? 'error' : 'warn';
      app.log[level]({ err: error }, 'the verification of access tokens is impaired');
    },
    ...options,
  });
  app.addHook('onReady', async () => {
    // Fastify allows a hook 10 seconds; `timeoutMs` may be longer.
    await Promise.race([verifier.ready(), sleep(START_WAIT_MS, undefined, { unref: true })]).catch(error => {
      if (onRefusedClient === 'reject') throw error;
    });
  });
  app.addHook('onClose', async () => verifier.close());

  app.decorateRequest('user');
  app.decorate('authenticate', async (request, reply) => {
    request.user = await authenticateRequest(request, reply, verifier.verify);
  });
  app.decorateRequest('service');
  app.decorate('authenticateService', scope => {
    // The header `www-authenticate` quotes it, so other characters than those of RFC 6749 §3.3 must not pass.
    if (!/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope)) throw new TypeError(`"${scope}" is not a scope`);
    return async (request, reply) => {
      request.service = await authenticateRequest(request, reply, token => verifier.verifyService(token, scope), scope);
    };
  });
};

/** Verifies the token of a request. Turns the verifier's errors into those of RFC 6750 §3. */
async function authenticateRequest<T>(
  { headers: { authorization } }: FastifyRequest,
  reply: FastifyReply,
  verify: (token: string) => Promise<T>,
  scope?: string,
): Promise<T> {
  if (authorization === undefined) {
    reply.header('www-authenticate', 'Bearer');
    throw new AuthGuardError('missing_token', 'Send an access token: Authorization: Bearer …');
  }
  try {
    const [, token = ''] = BEARER.exec(authorization) ?? [];
    return await verify(token);
  } catch (cause) {
    if (!(cause instanceof TokenRejectedError)) {
      reply.header('retry-after', RETRY_AFTER_S);
      throw new AuthGuardError('service_unavailable', 'Tokens cannot be verified right now.', { cause });
    }
    if (cause.code === 'insufficient_scope') {
      reply.header('www-authenticate', `Bearer error="insufficient_scope", scope="${scope}"`);
      throw new AuthGuardError('insufficient_scope', `The access token does not have the scope ${scope}.`, { cause });
    }
    reply.header('www-authenticate', 'Bearer error="invalid_token"');
    throw new AuthGuardError('invalid_token', 'The access token is not valid or has expired.', { cause });
  }
}

/**
 * Fastify plugin that guards routes by access tokens, verified offline with the issuer's keys:
 *
 * ```ts
 * await app.register(authGuard, { issuer: 'https://auth.example.com', audience: 'latchkey' });
 * app.get('/mine', { onRequest: app.authenticate }, request => `Hello ${request.user.username}`);
 * app.get('/jobs', { onRequest: app.authenticateService('jobs:read') }, request => `Hello ${request.service.client_id}`);
 * ```
 *
 * Requests without an acceptable token fail with an {@link AuthGuardError}. Errors in the background are logged, unless
 * `onWarning` is given. When the auth-service refuses `client`, the app does not start, unless `onRefusedClient` is `warn`.
 *
 * @throws TypeError when an option is invalid, such as a `client` that is undefined
 */
export const authGuard: FastifyPluginAsync<AuthGuardOptions> = fp(guard, { name: 'auth-guard', fastify: '5.x' });
