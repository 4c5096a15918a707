import { addressOf, describeError, foldAddress, type RequestError } from '@latchkey/service-kit/http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ThrottleStoreError, TooManyRequestsError } from '../http/errors.js';
import { type Caller, type Refusal, rateLimit, rateLimitPolicy, secondsUntil } from './limit.js';
import type { Outcome, TakenAttempt, Throttle } from './throttle.js';

/** An attempt of a request. The handler says how it ended; otherwise it is withdrawn. */
export type Attempt = {
  succeeded(): Promise<void>;
  failed(): Promise<void>;
  /** Gives the attempt back: nothing was tried. */
  withdraw(): Promise<void>;
};

/**
 * Does work that counts as an attempt.
 *
 * @throws TooManyRequestsError before the work begins, ThrottleStoreError when the counters cannot be read
 */
export type Limited = <T>(
  request: FastifyRequest,
  reply: FastifyReply,
  subject: Omit<Caller, 'address'>,
  work: (attempt: Attempt) => Promise<T>,
) => Promise<T>;

const UNLIMITED: Attempt = {
  succeeded: async () => undefined,
  failed: async () => undefined,
  withdraw: async () => undefined,
};

/** Does the work without a limit. */
export const unlimited: Limited = (_request, _reply, _subject, work) => work(UNLIMITED);

/** Makes the attempts of requests count in a throttle, whose state their responses tell. */
export function limitRequests(app: FastifyInstance, { policies, take }: Throttle): Limited {
  const policy = rateLimitPolicy(policies);
  const refuse = (reply: FastifyReply, { policy, until }: Refusal): never => {
    const waitS = secondsUntil(until);
    reply.headers({ 'retry-after': waitS, ratelimit: rateLimit(policy, 0, waitS) });
    app.count('latchkey_throttle_decisions_total', { limit: policy.name, decision: 'refused' });
    throw new TooManyRequestsError();
  };

  return async (request, reply, subject, work) => {
    const taken = await take({ ...subject, address: foldAddress(addressOf(request)) }).catch(cause => {
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
      // When the database is unavailable, the store may be too, and the caller has waited long enough.
      if (describeError(error as RequestError).status !== 503) await withdrawing;
      throw error;
    }
  };
}

/** Settles an attempt once, by the first outcome that is reported, and sends what is left in `RateLimit`. */
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

/**
 * Logs one line for each block and records no audit event, so that a flood fills neither. A block may begin a minute after
 * the response, so the returned function keeps nothing else of the request in memory.
 */
function blockReporter(request: FastifyRequest): (block: Refusal) => void {
  const { log, server } = request;
  const address = addressOf(request);
  return ({ policy, key, until }) => {
    server.count('latchkey_throttle_blocks_total', { limit: policy.name });
    const details = { limit: policy.name, key, waitS: secondsUntil(until), address };
    log.warn({ event: 'throttled', ...details }, 'throttled');
  };
}
