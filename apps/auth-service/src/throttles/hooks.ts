import type { Credentials } from '@latchkey/user-schema';
import type { FastifyReply, FastifyRequest, onSendAsyncHookHandler, preHandlerAsyncHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import { deriveKey } from '../config/secrets.js';
import type { WithConfig } from '../config/settings.js';
import { addressOf, foldAddress } from '../http/caller-address.js';
import { ThrottleStoreError, TooManyRequestsError } from '../http/errors.js';
import { type Allowance, type Attempt, createAttempts, type Outcome } from './attempts.js';
import type { Policy, Refusal } from './limit.js';
import { rateLimit, rateLimitPolicy, secondsUntil } from './rate-limit-headers.js';
import { createSettlements } from './settlements.js';

/** Hooks of a route: the first spends an attempt, the other settles it by the status of the answer. */
type Throttle = { preHandler: preHandlerAsyncHookHandler[]; onSend: onSendAsyncHookHandler[] };
/** Spends an attempt for a request, or refuses it. */
type Spend = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

declare module 'fastify' {
  interface FastifyInstance {
    throttles: {
      signIn: Throttle;
      /** Its handler spends by itself, as it must know first whether the sign-up comes again. */
      signUp: Pick<Throttle, 'onSend'> & {
        spend: Spend;
        /** For one that comes again, which is a guess at a password; an attempt to sign up is given back. */
        spendGuess: Spend;
      };
      /** Goes behind `requireSession`. */
      passwordChange: Throttle;
    };
  }
  interface FastifyRequest {
    /** Settles the attempt that the request has spent; there from then until it is called. */
    settleAttempt: ((outcome: Outcome) => Promise<Allowance | undefined>) | undefined;
  }
}

/** Limits how often passwords are tried and accounts are made. */
export default fp<WithConfig>(
  async (app, { config }) => {
    if (!config.throttle.enabled) {
      if (config.production) app.log.warn('the throttles are off (THROTTLE_ENABLED)');
      const none = { preHandler: [], onSend: [] };
      const spend = async () => undefined;
      app.decorate('throttles', { signIn: none, signUp: { ...none, spend, spendGuess: spend }, passwordChange: none });
      return;
    }
    const settlements = createSettlements(app.throttleStore, app.log);
    app.addHook('onClose', () => settlements.close());
    const hashKey = deriveKey(config.authSecrets[0], 'throttle-keys');
    const { guess, signUp, policies } = createAttempts(config.throttle, hashKey, app.throttleStore, settlements);
    app.decorateRequest('settleAttempt');

    const spending = (policies: Policy[], spend: (request: FastifyRequest) => Promise<Attempt | Refusal>): Spend => {
      const policy = rateLimitPolicy(policies);
      return async (request, reply) => {
        const result = await spend(request).catch(cause => {
          throw new ThrottleStoreError({ cause });
        });
        reply.header('ratelimit-policy', policy);
        if ('until' in result) {
          const waitS = secondsUntil(result.until);
          reply.headers({ 'retry-after': waitS, ratelimit: rateLimit(result.policy, 0, waitS) });
          app.count('latchkey_throttle_decisions_total', { limit: result.policy.name, decision: 'refused' });
          throw new TooManyRequestsError();
        }
        for (const { name: limit } of policies) {
          app.count('latchkey_throttle_decisions_total', { limit, decision: 'allowed' });
        }
        const report = blockReporter(request);
        request.settleAttempt = outcome => {
          request.settleAttempt = undefined;
          return result.settle(outcome, block => {
            app.count('latchkey_throttle_blocks_total', { limit: block.policy.name });
            report(block);
          });
        };
      };
    };

    const onSend: onSendAsyncHookHandler = async (request, reply, payload) => {
      const settling = request.settleAttempt?.(outcomeOf(reply.statusCode, request.hasConsultedList)).catch(error => {
        request.log.warn({ err: error }, 'cannot settle an attempt with the throttles yet');
        return undefined;
      });
      // When the store's database is what is away, the caller has waited for it long enough.
      const allowance = reply.statusCode === 503 ? undefined : await settling;
      if (allowance) reply.header('ratelimit', rateLimit(allowance.policy, allowance.left, allowance.resetsS));
      return payload;
    };

    const callerOf = (request: FastifyRequest) => ({
      username: (request.body as Credentials).username,
      address: foldAddress(addressOf(request)),
    });
    const changerOf = (request: FastifyRequest) => ({
      username: request.account.username,
      address: foldAddress(addressOf(request)),
      sessionId: request.user.sid,
    });
    const throttle = (...spend: Parameters<typeof spending>) => ({
      preHandler: [spending(...spend)],
      onSend: [onSend],
    });
    app.decorate('throttles', {
      signIn: throttle(policies.guess, request => guess(callerOf(request))),
      signUp: {
        spend: spending(policies.signUp, request => signUp(callerOf(request))),
        spendGuess: spending(policies.guess, async request => {
          // When it cannot be given back now, it is later.
          await request.settleAttempt?.('withdrawn').catch(() => undefined);
          return guess(callerOf(request));
        }),
        onSend: [onSend],
      },
      passwordChange: throttle(policies.guess, request => guess(changerOf(request))),
    });
  },
  { name: 'throttles', dependencies: ['metrics', 'password-policy', 'throttle-store', 'sessions'] },
);

/** One log line a block, so that a flood does not fill the log; and no audit event. Nothing else is kept of the request. */
function blockReporter(request: FastifyRequest): (block: Refusal) => void {
  const { log } = request;
  const address = addressOf(request);
  return ({ policy, key, until }) => {
    const details = { limit: policy.name, key, waitS: secondsUntil(until), address };
    log.warn({ event: 'throttled', ...details }, 'throttled');
  };
}

/**
 * A wrong password, a taken username and a key of other credentials have cost a hash, and a breached one a request to
 * somebody else; what was refused for another reason has not been tried.
 */
function outcomeOf(status: number, hasConsultedList: boolean): Outcome {
  if (status < 300) return 'succeeded';
  const isTried = status === 401 || status === 409 || status === 422 || (status === 400 && hasConsultedList);
  return isTried ? 'failed' : 'withdrawn';
}
