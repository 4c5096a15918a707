import type { Queryable } from '@latchkey/service-kit/database';
import { foldAddress } from '@latchkey/service-kit/http';
import type { AccountDetails } from '../../accounts/details.js';
import type { Secrets } from '../../config/secrets.js';
import { listFailedCallers } from '../../events/trail.js';
import { openKey } from '../../keys/signing-key.js';
import { listKeys } from '../../keys/stored-keys.js';
import type { AttemptedAccount } from '../../throttles/limits.js';
import type { Counted } from '../../throttles/store.js';
import { openLockouts } from '../../throttles/unlock.js';
import type { Context } from '../database.js';
import { duration } from '../doctor/finding.js';

/** What the limits count for: their names are the first part of the keys of counters. */
const WHAT: Record<string, string> = {
  account: 'sign-ins from addresses that the account does not know',
  pair: 'passwords from one address or in one session',
  totp: 'codes of the authenticator app',
  'passkey-uses': 'sign-ins and step-ups with its passkeys',
};

/** What keeps an account from being signed in to, and until when; `failures` are those that count now. */
export type Lockout = { limit: string; failures: number; blockedForS: number | null };

/**
 * Runs work on the failed attempts at an account.
 *
 * @throws Error when the secrets here are not those by which the service names its counters, which would not be found
 */
export async function withLockouts<T>(
  { db, config }: Context,
  { id, username, email }: AccountDetails,
  work: (lockouts: Awaited<ReturnType<typeof openLockouts>>, account: AttemptedAccount) => Promise<T>,
): Promise<T> {
  await assertSecretsOfService(db, config.authSecrets);
  const lockouts = await openLockouts(db, config);
  try {
    const callers = (await listFailedCallers(db, id)).map(({ address, sessionId }) =>
      sessionId === null ? { address: foldAddress(address) } : { address, sessionId },
    );
    const names = [username, ...(email === null ? [] : [email])];
    return await work(lockouts, { id, names, callers });
  } finally {
    lockouts.close();
  }
}

async function assertSecretsOfService(db: Queryable, [current]: Secrets): Promise<void> {
  const active = (await listKeys(db)).find(({ state }) => state === 'active');
  try {
    if (active) openKey(active, [current]);
  } catch (cause) {
    throw new Error(
      `The service uses the secret "${active?.secretId}", which is not the first of AUTH_SECRETS here: its failed attempts cannot be found. Give this command the AUTH_SECRETS of the service.`,
      { cause },
    );
  }
}

/** The counters as people and programs read them: without keys. */
export function lockoutsOf(counted: Counted[]): Lockout[] {
  return counted.map(({ key, failures, blockedS }) => ({
    limit: key.slice(0, key.indexOf(':')),
    failures,
    blockedForS: blockedS === null ? null : Math.ceil(blockedS),
  }));
}

/** Says what a counter holds back. */
export function describeLockout({ limit, failures, blockedForS }: Lockout): string {
  const blocked = blockedForS === null ? '' : `, blocked for ${duration(blockedForS * 1000)}`;
  return `${WHAT[limit] ?? limit}: ${failures} ${limit === 'passkey-uses' ? 'in an hour' : 'failed'}${blocked}`;
}
