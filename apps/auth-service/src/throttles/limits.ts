import { createHmac } from 'node:crypto';
import type { ThrottleSettings } from '../config/sections/throttles.js';
import { type Caller, counterOf, createRefusals, type Limit, type Policy } from './limit.js';
import type { Settlements } from './settlements.js';
import type { Settlement, ThrottleStore } from './store.js';
import { createThrottle, type Throttle } from './throttle.js';

/** What the attempts at an account count for: its username and address, and from where or in which sessions they were made. */
export type AttemptedAccount = { id: string; names: string[]; callers: Pick<Caller, 'address' | 'sessionId'>[] };

type Throttles = Record<
  'challenge' | 'factors' | 'guess' | 'signUp' | 'forgotten' | 'link' | 'mail' | 'passkey' | 'passkeyUses' | 'totp',
  Throttle
> & {
  /** What forgives the failures at an account: of its password, by anybody and by the callers, and of its app, and the uses of its passkeys. */
  forgivenessOf(account: AttemptedAccount): Settlement[];
};

/**
 * Takes attempts before their work begins, so that those made in parallel cannot exceed a limit: guesses at a password, a code or
 * what completes a sign-in, sign-ups, requests for a reset, uses of a link or a passkey, and mails to an address. That address,
 * and the id of the account whose code is guessed, is the caller's "username".
 *
 * @param hashKey key of the MACs that the store holds instead of usernames and addresses: people type passwords as usernames
 */
export function createThrottles(
  settings: ThrottleSettings['throttle'],
  hashKey: Buffer,
  store: Pick<ThrottleStore, 'spend'>,
  settlements: Pick<Settlements, 'settle'>,
): Throttles {
  const { maxWaitS, leaseS } = settings;
  const known = settings.knownAddressDays * 86_400;
  const hash = (...parts: string[]) =>
    createHmac('sha256', hashKey).update(parts.join('\n')).digest('base64url').slice(0, 22);
  const nameOf = ({ username }: Caller) => username.toLowerCase();

  const byAddress = (caller: Caller) => hash(caller.address);
  const byName = (caller: Caller) => hash(nameOf(caller));

  const pair: Limit = {
    refusals: createRefusals(),
    policy: { name: 'pair', ...settings.pair, maxWaitS },
    // The attempts of a caller with a session count for that session, from whatever address.
    keyOf: caller =>
      caller.sessionId === undefined
        ? hash(nameOf(caller), caller.address)
        : hash(nameOf(caller), 'session', caller.sessionId),
    onSuccess: (claim, { sessionId }) => [{ ...claim, forgiven: true, ...(sessionId === undefined && { known }) }],
  };
  const address: Limit = {
    refusals: createRefusals(),
    policy: { name: 'address', ...settings.address },
    keyOf: byAddress,
    exemptsKnown: true,
  };
  const account: Limit = {
    refusals: createRefusals(),
    policy: { name: 'account', ...settings.account, maxWaitS },
    keyOf: byName,
    exemptsKnown: true,
  };
  const signUp: Limit = {
    refusals: createRefusals(),
    policy: { name: 'sign-up', ...settings.signUp },
    keyOf: byAddress,
    onSuccess: (claim, caller) => [
      { ...claim, failed: true },
      { ...counterOf(pair, caller).claim, known },
    ],
  };
  const challenge: Limit = {
    refusals: createRefusals(),
    policy: { name: 'challenge', ...settings.challenge },
    keyOf: ({ challengeId = '' }) => hash(challengeId),
    // Only now does the whole sign-in succeed, and with it the password, whose failures are forgiven. A session that steps up
    // has proved no password: its guesses at that must not be forgiven.
    alsoForgives: caller =>
      caller.sessionId === undefined ? [{ ...counterOf(pair, caller).claim, forgiven: true, known }] : [],
  };
  const totp: Limit = {
    refusals: createRefusals(),
    policy: { name: 'totp', ...settings.totp, maxWaitS },
    keyOf: byName,
    onSuccess: claim => [{ ...claim, forgiven: true }],
  };
  const passkeyUses: Limit = {
    refusals: createRefusals(),
    policy: { name: 'passkey-uses', ...settings.passkeyUses },
    keyOf: byName,
  };
  const simple = (policy: Policy, keyOf: Limit['keyOf']): Throttle =>
    createThrottle([{ refusals: createRefusals(), policy, keyOf }], leaseS, store, settlements);
  return {
    forgotten: simple({ name: 'forgotten', ...settings.forgotten }, byAddress),
    link: simple({ name: 'link', ...settings.link }, byAddress),
    passkey: simple({ name: 'passkey', ...settings.passkey }, byAddress),
    challenge: createThrottle([challenge], leaseS, store, settlements),
    totp: createThrottle([totp], leaseS, store, settlements),
    mail: simple({ name: 'mail', ...settings.mail }, byName),
    factors: simple({ name: 'factors', ...settings.factors }, byName),
    passkeyUses: createThrottle([passkeyUses], leaseS, store, settlements),
    // The store locks the account last: requests for an account do not wait for those of others who share an address.
    guess: createThrottle([pair, address, account], leaseS, store, settlements),
    signUp: createThrottle([signUp], leaseS, store, settlements),
    forgivenessOf({ id, names, callers }) {
      const counters = [
        ...[totp, passkeyUses].map(limit => counterOf(limit, { username: id, address: '' })),
        ...names.flatMap(username => [
          counterOf(account, { username, address: '' }),
          ...callers.map(caller => counterOf(pair, { ...caller, username })),
        ]),
      ];
      const claims = new Map(counters.map(({ claim }) => [claim.key, { ...claim, forgiven: true }]));
      return [...claims.values()];
    },
  };
}
