import { Type } from '@sinclair/typebox';
import { type SettingsOf, seconds, section } from '../section.js';

const MAX_S = 30 * 86_400;
// More than the maximum of HASH_MAX_WAIT_MS, a hash, and the timeouts of two statements together.
const LEASE_S = 30;
const HOUR_S = 3600;
const CHALLENGE_TRIES = 5;
const CHALLENGE_S = 300;
const FACTOR_CHANGES = 30;
const PASSKEY_USES = 120;

const failures = (value: number, description: string) =>
  Type.Integer({ default: value, minimum: 1, maximum: 1_000_000, description });

export const throttles = section(
  'Throttles',
  {
    REDIS_URL: Type.Optional(
      Type.String({ pattern: '^rediss?://', description: 'Redis or Valkey for the throttles, instead of PostgreSQL' }),
    ),
    THROTTLE_ENABLED: Type.Boolean({
      default: true,
      description: '`false` disables the throttles, for benchmarks',
    }),
    THROTTLE_ACCOUNT_FAILURES: Type.Integer({
      default: 20,
      minimum: 1,
      // NIST SP 800-63B-4 §3.2.2.
      maximum: 100,
      description: 'Failed sign-ins to an account, from any address, after which unknown addresses are blocked from it',
    }),
    THROTTLE_ACCOUNT_WAIT_S: seconds(3600, MAX_S, 'Length of the first block of unknown addresses'),
    THROTTLE_PAIR_FAILURES: failures(
      10,
      'Failed sign-ins to an account from one address, after which that address is blocked from it',
    ),
    THROTTLE_PAIR_WAIT_S: seconds(900, MAX_S, 'Length of the first block of that address'),
    THROTTLE_MAX_WAIT_S: seconds(86_400, MAX_S, 'Maximum length of these blocks, which doubles each time'),
    THROTTLE_ADDRESS_FAILURES: failures(100, 'Failed sign-ins from an address, to any account, until it is blocked'),
    THROTTLE_ADDRESS_WINDOW_S: seconds(3600, MAX_S, 'Length of the window in which these count, from the first one'),
    THROTTLE_SIGN_UPS: failures(30, 'Sign-ups from an address, until further ones are rejected'),
    THROTTLE_SIGN_UP_WINDOW_S: seconds(3600, MAX_S, 'Length of the window in which these count, from the first one'),
    THROTTLE_MAILS: failures(3, 'Mails with a link of one kind to one address in an hour; more are not sent'),
    THROTTLE_FORGOTTEN: failures(
      30,
      'Requests for a reset of a password from an address in an hour, until it is blocked',
    ),
    THROTTLE_LINKS: failures(100, 'Invalid tokens of links from an address in an hour, until it is blocked'),
    THROTTLE_PASSKEYS: failures(100, 'Invalid passkeys from an address in an hour, until it is blocked'),
    THROTTLE_TOTP_FAILURES: Type.Integer({
      default: 10,
      minimum: 1,
      // Three of a million codes are right at a time.
      maximum: 100,
      description:
        'Wrong codes of an account’s authenticator app, after which none is accepted for a while; other factors are',
    }),
    THROTTLE_TOTP_WAIT_S: seconds(900, MAX_S, 'Length of the first such block'),
    THROTTLE_KNOWN_ADDRESS_DAYS: Type.Integer({
      default: 30,
      minimum: 1,
      maximum: 365,
      description: 'How long an account knows an address after a successful sign-in from it, in days',
    }),
  },
  (values, { complain }) => {
    const throttle = {
      enabled: values.throttleEnabled,
      /** How long an attempt counts that is never settled; more than the check of a password can take. */
      leaseS: LEASE_S,
      account: { quota: values.throttleAccountFailures, windowS: values.throttleAccountWaitS },
      pair: { quota: values.throttlePairFailures, windowS: values.throttlePairWaitS },
      address: { quota: values.throttleAddressFailures, windowS: values.throttleAddressWindowS },
      signUp: { quota: values.throttleSignUps, windowS: values.throttleSignUpWindowS },
      mail: { quota: values.throttleMails, windowS: HOUR_S },
      forgotten: { quota: values.throttleForgotten, windowS: HOUR_S },
      link: { quota: values.throttleLinks, windowS: HOUR_S },
      passkey: { quota: values.throttlePasskeys, windowS: HOUR_S },
      /** Tries at the second factor of one sign-in, for as long as its challenge is good. */
      challenge: { quota: CHALLENGE_TRIES, windowS: CHALLENGE_S },
      /** Passkeys and apps that an account adds, renames and removes. */
      factors: { quota: FACTOR_CHANGES, windowS: HOUR_S },
      /** Sign-ins and step-ups of an account with passkeys: each records an event, and costs no hash that would slow it down. */
      passkeyUses: { quota: PASSKEY_USES, windowS: HOUR_S },
      totp: { quota: values.throttleTotpFailures, windowS: values.throttleTotpWaitS },
      maxWaitS: values.throttleMaxWaitS,
      knownAddressDays: values.throttleKnownAddressDays,
    };
    if (throttle.pair.quota > throttle.account.quota)
      complain('THROTTLE_PAIR_FAILURES: must not be above THROTTLE_ACCOUNT_FAILURES.');
    if (throttle.maxWaitS < Math.max(throttle.pair.windowS, throttle.account.windowS, throttle.totp.windowS))
      complain(
        'THROTTLE_MAX_WAIT_S: must not be below THROTTLE_ACCOUNT_WAIT_S, THROTTLE_PAIR_WAIT_S or THROTTLE_TOTP_WAIT_S.',
      );
    return { throttle, ...(values.redisUrl !== undefined && { redisUrl: values.redisUrl }) };
  },
);
export type ThrottleSettings = SettingsOf<typeof throttles>;
