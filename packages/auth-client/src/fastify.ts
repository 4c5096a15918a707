import type { AccessTokenClaims, ServiceTokenClaims } from '@latchkey/user-schema';
import type { FastifyPluginAsync, FastifyReply, FastifyRequest, onRequestAsyncHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import { sleep } from './retry.js';
import { createVerifier, type VerifierOptions } from './verifier.js';
import { TokenRejectedError, VerifierConfigurationError } from './verifier-errors.js';

export type { AccessTokenClaims, ServiceTokenClaims } from '@latchkey/user-schema';
export type { VerifierOptions } from './verifier.js';

/** Options of {@link authGuard}. */
export interface AuthGuardOptions extends VerifierOptions {
  /**
   * What happens when the auth-service refuses `client` while the app starts: `reject` (the default) has `app.ready()` and
   * `app.listen()` reject with a `VerifierConfigurationError`, `warn` only logs it. An auth-service that cannot be reached
   * keeps no app from starting.
   */
  onRefusedClient?: 'reject' | 'warn';
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Hook that lets only a user's valid access token pass and sets `request.user`. */
    authenticate: onRequestAsyncHookHandler;
    /** Makes a hook that lets only a service's valid access token with this scope pass and sets `request.service`. */
    authenticateService(scope: string): onRequestAsyncHookHandler;
  }
  interface FastifyRequest {
    /** Claims of the access token, set behind {@link FastifyInstance.authenticate}. */
    user: AccessTokenClaims;
    /** Claims of the service's access token, set behind {@link FastifyInstance.authenticateService}. */
    service: ServiceTokenClaims;
  }
}

/** What the guard throws. Fastify's own error handler, or yours, answers with `statusCode` and `code`. */
export class AuthGuardError extends Error {
  override readonly name = 'AuthGuardError';
  /**
   * `missing_token` and `invalid_token` are 401, `insufficient_scope` is 403; `service_unavailable` (no keys could be
   * fetched, or too little is known of ended sessions) is 503.
   */
  readonly code: 'missing_token' | 'invalid_token' | 'insufficient_scope' | 'service_unavailable';
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
    // Less than Fastify allows a hook, whatever the deadline of a call is.
    await Promise.race([verifier.ready(), sleep(START_WAIT_MS, undefined, { unref: true })]).catch(error => {
      if (onRefusedClient === 'reject') throw error;
    });
  });
  app.addHook('onClose', async () => verifier.close());

  app.decorateRequest('user');
  app.decorate('authenticate', async (request, reply) => {
    request.user = await check(request, reply, verifier.verify);
  });
  app.decorateRequest('service');
  app.decorate('authenticateService', scope => {
    // It is quoted in a header, where these characters are all that a scope may have (RFC 6749 §3.3).
    if (!/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope)) throw new TypeError(`"${scope}" is not a scope`);
    return async (request, reply) => {
      request.service = await check(request, reply, token => verifier.verifyService(token, scope), scope);
    };
  });
};

/** Takes the token of a request through a check, and turns what that throws into an answer (RFC 6750 §3). */
async function check<T>(
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
      throw new AuthGuardError('insufficient_scope', `The access token has not the scope ${scope}.`, { cause });
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
 * Requests without a valid token reject with an {@link AuthGuardError} and carry `WWW-Authenticate` (RFC 6750 §3). What
 * goes wrong in the background is logged, unless `onWarning` is given. A `client` that the auth-service refuses keeps the app
 * from starting, unless `onRefusedClient` says otherwise.
 *
 * @throws TypeError when an option is wrong, such as a `client` that is undefined
 */
export const authGuard: FastifyPluginAsync<AuthGuardOptions> = fp(guard, { name: 'auth-guard', fastify: '5.x' });
