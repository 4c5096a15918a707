import { addressOf, describeError, foldAddress, type RequestError } from '@latchkey/service-kit/http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { deriveKey } from '../config/secrets.js';
import type { SecretsSettings } from '../config/sections/secrets.js';
import type { ServiceSettings } from '../config/sections/service.js';
import type { ThrottleSettings } from '../config/sections/throttles.js';
import { ThrottleStoreError, TooManyRequestsError } from '../http/errors.js';
import { createThrottles, type Outcome, type TakenAttempt, type Throttle } from './attempts.js';
import type { Refusal } from './limit.js';
import { openStore } from './open-store.js';
import { deleteOldCounters } from './postgres-store.js';
import { rateLimit, rateLimitPolicy, secondsUntil } from './rate-limit-headers.js';
import { createSettlements } from './settlements.js';

/** An attempt of a request. Its handler says how it ended; one that it says nothing of is withdrawn. */
export type Attempt = {
  succeeded(): Promise<void>;
  failed(): Promise<void>;
  /** Gives it back: nothing was tried after all. */
  withdraw(): Promise<void>;
};

/** Who makes an attempt; `sessionId` where the caller has proved to hold that session of the account. */
type Subject = { username: string; sessionId?: string };

/**
 * Does work that counts as an attempt.
 *
 * @throws TooManyRequestsError before the work begins, ThrottleStoreError when the counters cannot be read
 */
type Limited = <T>(
  request: FastifyRequest,
  reply: FastifyReply,
  subject: Subject,
  work: (attempt: Attempt) => Promise<T>,
) => Promise<T>;

declare module 'fastify' {
  interface FastifyInstance {
    throttles: {
      /** Limits guesses at the password of an account. */
      guess: Limited;
      /** Limits sign-ups. */
      signUp: Limited;
    };
  }
}

const BATCH = 1000;
const UNLIMITED: Attempt = {
  succeeded: async () => undefined,
  failed: async () => undefined,
  withdraw: async () => undefined,
};

/** Limits how often passwords are tried and accounts are made. */
export default fp<{ config: ThrottleSettings & SecretsSettings & Pick<ServiceSettings, 'production'> }>(
  async (app, { config }) => {
    if (!config.throttle.enabled) {
      if (config.production) app.log.warn('the throttles are off (THROTTLE_ENABLED)');
      const unlimited: Limited = (_request, _reply, _subject, work) => work(UNLIMITED);
      app.decorate('throttles', { guess: unlimited, signUp: unlimited });
      return;
    }
    const { store, close } = await openStore(config.redisUrl, app.pg, app.log);
    app.addHook('onClose', close);
    const settlements = createSettlements(store, app.log);
    app.addHook('onClose', () => settlements.close());
    app.cleanHourly(async client => (await deleteOldCounters(client, BATCH)) === BATCH);

    const limited = ({ policies, take }: Throttle): Limited => {
      const policy = rateLimitPolicy(policies);
      const refuse = (reply: FastifyReply, { policy, until }: Refusal): never => {
        const waitS = secondsUntil(until);
        reply.headers({ 'retry-after': waitS, ratelimit: rateLimit(policy, 0, waitS) });
        app.count('latchkey_throttle_decisions_total', { limit: policy.name, decision: 'refused' });
        throw new TooManyRequestsError();
      };

      return async (request, reply, { username, sessionId }, work) => {
        const address = foldAddress(addressOf(request));
        const taken = await take({ username, address, ...(sessionId !== undefined && { sessionId }) }).catch(cause => {
          throw new ThrottleStoreError({ cause });
        });
        reply.header('ratelimit-policy', policy);
        if ('until' in taken) return refuse(reply, taken);
        for (const { name: limit } of policies) {
          app.count('latchkey_throttle_decisions_total', { limit, decision: 'allowed' });
        }
        const attempt = trackAttempt(request, reply, taken);
        try {
          const result = await work(attempt);
          await attempt.withdraw();
          return result;
        } catch (error) {
          const withdrawing = attempt.withdraw();
          // When it is the store's database that is away, the caller has waited for it long enough.
          if (describeError(error as RequestError).status !== 503) await withdrawing;
          throw error;
        }
      };
    };

    const hashKey = deriveKey(config.authSecrets[0], 'throttle-keys');
    const { guess, signUp } = createThrottles(config.throttle, hashKey, store, settlements);
    app.decorate('throttles', { guess: limited(guess), signUp: limited(signUp) });
  },
  { name: 'throttles', dependencies: ['metrics', 'database'] },
);

/** Settles an attempt once, the way that is said first, and tells the caller what is left. */
function trackAttempt(request: FastifyRequest, reply: FastifyReply, taken: TakenAttempt): Attempt {
  const report = blockReporter(request);
  let settling: Promise<void> | undefined;
  const settle = async (outcome: Outcome) => {
    try {
      const allowance = await taken.settle(outcome, report);
      if (allowance && !reply.sent)
        reply.header('ratelimit', rateLimit(allowance.policy, allowance.left, allowance.resetsS));
    } catch (error) {
      request.log.warn({ err: error }, 'cannot settle an attempt with the throttles yet');
    }
  };
  const end = (outcome: Outcome) => () => {
    settling ??= settle(outcome);
    return settling;
  };
  return { succeeded: end('succeeded'), failed: end('failed'), withdraw: end('withdrawn') };
}

/** One log line a block, so that a flood does not fill the log; and no audit event. Nothing else is kept of the request. */
function blockReporter(request: FastifyRequest): (block: Refusal) => void {
  const { log, server } = request;
  const address = addressOf(request);
  return ({ policy, key, until }) => {
    server.count('latchkey_throttle_blocks_total', { limit: policy.name });
    const details = { limit: policy.name, key, waitS: secondsUntil(until), address };
    log.warn({ event: 'throttled', ...details }, 'throttled');
  };
}
