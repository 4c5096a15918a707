import {
  type AccessTokenClaims,
  type AuthenticationDemand,
  demandChallenge,
  meetsDemand,
  type ServiceTokenClaims,
} from '@latchkey/user-schema';
import type {
  FastifyInstance,
  FastifyPluginAsync,
  FastifyReply,
  FastifyRequest,
  onRequestAsyncHookHandler,
} from 'fastify';
import fp from 'fastify-plugin';
import { AuthGuardError, refuse } from './auth-guard-error.js';
import { checkDemand } from './lib/demand.js';
import { sleep } from './lib/sleep.js';
import { CLOCK_TOLERANCE_MS, createVerifier, type VerifierOptions } from './verifier.js';
import { TokenRejectedError, VerifierConfigurationError } from './verifier-errors.js';

export type { AccessTokenClaims, AuthenticationDemand, ServiceTokenClaims } from '@latchkey/user-schema';
export { AuthGuardError } from './auth-guard-error.js';
export type { VerifierOptions } from './verifier.js';

/** Options of {@link authGuard}. `acr` and `maxAgeS` are what `app.authenticate` demands of every token. */
export interface AuthGuardOptions extends VerifierOptions, AuthenticationDemand {
  /**
   * What happens when the auth-service refuses `client` while the app starts: with `reject` (the default), `app.ready()` and
   * `app.listen()` reject with a `VerifierConfigurationError`; with `warn`, the error is only logged. When the auth-service
   * cannot be reached, the app starts in any case.
   */
  onRefusedClient?: 'reject' | 'warn';
}

/**
 * `onRequest` hook that requires a user's access token and sets `request.user`. Called with a demand, makes such a hook that
 * also requires a sign-in that is strong enough (`acr`) and not too long ago (`maxAgeS`, in seconds). Tokens of services of the
 * version before have neither claim, and count as of a password (`aal1`) at no known time.
 */
export interface Authenticate extends onRequestAsyncHookHandler {
  /** @throws TypeError when the demand is empty or invalid */
  (demand: AuthenticationDemand): onRequestAsyncHookHandler;
}

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * `onRequest` hook that requires a user's access token and sets `request.user`; `app.authenticate({ acr: 'aal2' })` makes one
     * that demands more of the sign-in. The hooks throw an {@link AuthGuardError}.
     */
    authenticate: Authenticate;
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

const BEARER = /^Bearer +(\S+)$/i;
const RETRY_AFTER_S = 1;
const START_WAIT_MS = 5000;

type HookArguments = Parameters<onRequestAsyncHookHandler>;

const guard: FastifyPluginAsync<AuthGuardOptions> = async (app, { onRefusedClient = 'reject', ...options }) => {
  const defaults = readDefaults(options);
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

  const toleranceS = (options.clockToleranceMs ?? CLOCK_TOLERANCE_MS) / 1000;
  const demandUser =
    (demand: AuthenticationDemand): onRequestAsyncHookHandler =>
    async (request, reply) => {
      const claims = await authenticateRequest(request, reply, verifier.verify);
      if (!meetsDemand(claims, demand, Date.now() / 1000 - toleranceS)) throw insufficientAuthentication(reply, demand);
      request.user = claims;
    };
  const authenticate = demandUser(defaults);
  app.decorateRequest('user');
  // As a hook it is called with the reply too.
  app.decorate('authenticate', function (this: FastifyInstance, ...args: [AuthenticationDemand] | HookArguments) {
    if (args.length === 1) return demandUser({ ...defaults, ...checkDemand(args[0]) });
    return authenticate.apply(this, args);
  } as Authenticate);
  app.decorateRequest('service');
  app.decorate('authenticateService', scope => {
    // The header `www-authenticate` quotes it, so other characters than those of RFC 6749 §3.3 must not pass.
    if (!/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope)) throw new TypeError(`"${scope}" is not a scope`);
    return async (request, reply) => {
      request.service = await authenticateRequest(request, reply, token => verifier.verifyService(token, scope), scope);
    };
  });
};

/** The demand of the plugin's options. */
function readDefaults(options: AuthGuardOptions): AuthenticationDemand {
  const given = (['acr', 'maxAgeS'] as const).filter(name => name in options);
  return given.length === 0 ? {} : checkDemand(Object.fromEntries(given.map(name => [name, options[name]])));
}

/** Verifies the token of a request. Turns the verifier's errors into those of RFC 6750 §3. */
async function authenticateRequest<T>(
  { headers: { authorization } }: FastifyRequest,
  reply: FastifyReply,
  verify: (token: string) => Promise<T>,
  scope?: string,
): Promise<T> {
  if (authorization === undefined) {
    throw refuse(reply, 'missing_token', 'Send an access token: Authorization: Bearer …', 'Bearer');
  }
  try {
    const [, token = ''] = BEARER.exec(authorization) ?? [];
    return await verify(token);
  } catch (cause) {
    if (!(cause instanceof TokenRejectedError)) {
      const headers = { 'retry-after': `${RETRY_AFTER_S}` };
      reply.headers(headers);
      throw new AuthGuardError('service_unavailable', 'Tokens cannot be verified right now.', { cause, headers });
    }
    if (cause.code === 'insufficient_scope') {
      const message = `The access token does not have the scope ${scope}.`;
      const challenge = `Bearer error="insufficient_scope", scope="${scope}"`;
      throw refuse(reply, 'insufficient_scope', message, challenge, cause);
    }
    const message = 'The access token is not valid or has expired.';
    throw refuse(reply, 'invalid_token', message, 'Bearer error="invalid_token"', cause);
  }
}

function insufficientAuthentication(reply: FastifyReply, demand: AuthenticationDemand): AuthGuardError {
  const message = 'Prove again who you are: WWW-Authenticate says what this needs.';
  return refuse(reply, 'insufficient_user_authentication', message, demandChallenge(demand));
}

/**
 * Fastify plugin that guards routes by access tokens, verified offline with the issuer's keys:
 *
 * ```ts
 * await app.register(authGuard, { issuer: 'https://auth.example.com', audience: 'latchkey' });
 * app.get('/mine', { onRequest: app.authenticate }, request => `Hello ${request.user.username}`);
 * app.get('/keys', { onRequest: app.authenticate({ acr: 'aal2', maxAgeS: 600 }) }, request => `Hello ${request.user.username}`);
 * app.get('/jobs', { onRequest: app.authenticateService('jobs:read') }, request => `Hello ${request.service.client_id}`);
 * ```
 *
 * Requests without an acceptable token fail with an {@link AuthGuardError}. Errors in the background are logged, unless
 * `onWarning` is given. When the auth-service refuses `client`, the app does not start, unless `onRefusedClient` is `warn`.
 *
 * @throws TypeError when an option is invalid, such as a `client` or an `acr` that is undefined
 */
export const authGuard: FastifyPluginAsync<AuthGuardOptions> = fp(guard, { name: 'auth-guard', fastify: '5.x' });
