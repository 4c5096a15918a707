import type { Queryable } from '@latchkey/service-kit/database';
import { addressOf, describeError, foldAddress, type RequestError } from '@latchkey/service-kit/http';
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { deriveKey } from '../config/secrets.js';
import type { SecretsSettings } from '../config/sections/secrets.js';
import type { ServiceSettings } from '../config/sections/service.js';
import type { ThrottleSettings } from '../config/sections/throttles.js';
import { ThrottleStoreError, TooManyRequestsError } from '../http/errors.js';
import { createThrottles, type Outcome, type TakenAttempt, type Throttle } from './attempts.js';
import { type Caller, type Refusal, rateLimit, rateLimitPolicy, secondsUntil } from './limit.js';
import { createPostgresStore, deleteOldCounters } from './postgres-store.js';
import { connectRedis } from './redis.js';
import { createRedisStore } from './redis-store.js';
import { createSettlements } from './settlements.js';
import type { ThrottleStore } from './store.js';

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
type Limited = <T>(
  request: FastifyRequest,
  reply: FastifyReply,
  subject: Omit<Caller, 'address'>,
  work: (attempt: Attempt) => Promise<T>,
) => Promise<T>;

/** What a mail is for; `change` and `codes` count those that an account asks for, by its id. */
type MailKind = 'change' | 'codes' | 'reset' | 'verify';

declare module 'fastify' {
  interface FastifyInstance {
    throttles: {
      /** Limits guesses at the password of an account. */
      guess: Limited;
      /** Limits sign-ups. */
      signUp: Limited;
      /** Limits requests for a reset of a password: each that does not withdraw its attempt counts as a failure does. */
      forgotten: Limited;
      /** Limits invalid tokens of links. */
      link: Limited;
      /** Limits invalid passkeys. */
      passkey: Limited;
      /** Limits guesses at what completes one sign-in, whose success forgives those at the password, or at what a session steps up by. */
      challenge: Limited;
      /** Limits guesses at the codes of an account's authenticator app; the subject's `username` is the account's id. */
      totp: Limited;
      /**
       * Takes one of the mails of a kind that an address may get in an hour; resolves to whether there was one left.
       * Each kind has its own, so that nobody who signs up with an address keeps its owner from resetting a password.
       */
      takeMail(kind: MailKind, address: string): Promise<boolean>;
      /**
       * Counts a change of an account's factors, of which each records an event and mails a notice.
       *
       * @throws TooManyRequestsError when there were too many in this hour
       */
      spendFactorChange(accountId: string): Promise<void>;
    };
  }
}

const BATCH = 1000;
const AGAIN_S = 3600;

/** The error of a request of which an account or an address may make few in an hour, such as one whose mail `takeMail` has not allowed. */
export function tooManyInAnHour(): Error {
  return Object.assign(new TooManyRequestsError(), { headers: { 'retry-after': AGAIN_S } });
}

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
      app.decorate('throttles', {
        ...{ guess: unlimited, signUp: unlimited, forgotten: unlimited, link: unlimited },
        ...{ passkey: unlimited, challenge: unlimited, totp: unlimited },
        takeMail: async () => true,
        spendFactorChange: async () => undefined,
      });
      return;
    }
    const { store, close } = await openStore(config.redisUrl, app.pg, app.log);
    app.addHook('onClose', async () => close());
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
    };

    /** Takes one of those that a key may have in an hour; resolves to whether there was one left. */
    const takeOne = async ({ take }: Throttle, limit: 'factors' | 'mail', key: string): Promise<boolean> => {
      const taken = await take({ username: key, address: '' }).catch(cause => {
        throw new ThrottleStoreError({ cause });
      });
      const decision = 'until' in taken ? 'refused' : 'allowed';
      app.count('latchkey_throttle_decisions_total', { limit, decision });
      if ('until' in taken) return false;
      await taken.settle('failed', () => app.count('latchkey_throttle_blocks_total', { limit }));
      return true;
    };

    const hashKey = deriveKey(config.authSecrets[0], 'throttle-keys');
    const { factors, mail, ...throttles } = createThrottles(config.throttle, hashKey, store, settlements);
    const { guess, signUp, forgotten, link, passkey, challenge, totp } = throttles;
    app.decorate('throttles', {
      ...{ guess: limited(guess), signUp: limited(signUp), forgotten: limited(forgotten), link: limited(link) },
      ...{ passkey: limited(passkey), challenge: limited(challenge), totp: limited(totp) },
      takeMail: (kind, address) => takeOne(mail, 'mail', `${kind} ${address}`),
      async spendFactorChange(accountId) {
        if (!(await takeOne(factors, 'factors', accountId))) throw tooManyInAnHour();
      },
    });
  },
  { name: 'throttles', dependencies: ['metrics', 'database'] },
);

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

/** Opens the store that the replicas share: Redis when there is one, otherwise PostgreSQL. */
export async function openStore(
  redisUrl: string | undefined,
  db: Queryable,
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>,
): Promise<{ store: ThrottleStore; close: () => void }> {
  if (redisUrl === undefined) return { store: createPostgresStore(db), close: () => undefined };
  const { redis, close } = await connectRedis(redisUrl, log);
  return { store: createRedisStore(redis), close };
}
