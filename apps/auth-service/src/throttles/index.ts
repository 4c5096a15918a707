import fp from 'fastify-plugin';
import { deriveKey } from '../config/secrets.js';
import type { SecretsSettings } from '../config/sections/secrets.js';
import type { ServiceSettings } from '../config/sections/service.js';
import type { ThrottleSettings } from '../config/sections/throttles.js';
import { ThrottleStoreError, TooManyRequestsError } from '../http/errors.js';
import { type Limited, limitRequests, unlimited } from './limited.js';
import { createThrottles } from './limits.js';
import { openStore } from './open-store.js';
import { deleteOldCounters } from './postgres-store.js';
import { createSettlements } from './settlements.js';
import type { Throttle } from './throttle.js';

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
      /**
       * Limits the uses of the passkeys of an account, each of which records an event and costs no hash: one that was used counts as a
       * failure does. The subject's `username` is the account's id.
       */
      passkeyUse: Limited;
    };
  }
}

const BATCH = 1000;
const AGAIN_S = 3600;

/** The error of a request of which an account or an address may make few in an hour, such as one whose mail `takeMail` has not allowed. */
export function tooManyInAnHour(): Error {
  return Object.assign(new TooManyRequestsError(), { headers: { 'retry-after': AGAIN_S } });
}

/** Limits how often passwords are tried and accounts are made. */
export default fp<{ config: ThrottleSettings & SecretsSettings & Pick<ServiceSettings, 'production'> }>(
  async (app, { config }) => {
    if (!config.throttle.enabled) {
      if (config.production) app.log.warn('the throttles are off (THROTTLE_ENABLED)');
      app.decorate('throttles', {
        ...{ guess: unlimited, signUp: unlimited, forgotten: unlimited, link: unlimited },
        ...{ passkey: unlimited, passkeyUse: unlimited, challenge: unlimited, totp: unlimited },
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

    const limited = (throttle: Throttle) => limitRequests(app, throttle);
    const hashKey = deriveKey(config.authSecrets[0], 'throttle-keys');
    const { factors, mail, ...throttles } = createThrottles(config.throttle, hashKey, store, settlements);
    const { guess, signUp, forgotten, link, passkey, passkeyUses, challenge, totp } = throttles;
    app.decorate('throttles', {
      ...{ guess: limited(guess), signUp: limited(signUp), forgotten: limited(forgotten), link: limited(link) },
      ...{ passkey: limited(passkey), passkeyUse: limited(passkeyUses) },
      ...{ challenge: limited(challenge), totp: limited(totp) },
      takeMail: (kind, address) => takeOne(mail, 'mail', `${kind} ${address}`),
      async spendFactorChange(accountId) {
        if (!(await takeOne(factors, 'factors', accountId))) throw tooManyInAnHour();
      },
    });
  },
  { name: 'throttles', dependencies: ['metrics', 'database'] },
);
