import type { Queryable } from '@latchkey/service-kit/database';
import type { User } from '@latchkey/user-schema';
import { lockAccount } from '../credentials/addresses.js';
import { CLAIMED, foldName } from '../credentials/identifiers.js';
import { addPasskey, USED } from '../credentials/passkeys/add.js';
import type { CheckedRegistration } from '../credentials/passkeys/registration.js';
import { statement } from '../database/sql.js';
import type { Origin } from '../events/recorder.js';
import { PasskeyRejectedError } from '../http/errors.js';
import { passkeyAmr } from '../sessions/factors.js';
import { type SessionLimits, type Started, startSession } from '../sessions/start.js';
import { ACCOUNT } from '../tokens/account.js';
import { FIRST_VERSION } from './sign-up.js';

const INSERT = statement<User, { id: string; name: string; username: string }>(`
  WITH ${CLAIMED}, added AS (
    INSERT INTO auth.users AS u (id, username) SELECT user_id, $username FROM claimed RETURNING u.*
  )
  SELECT ${ACCOUNT} FROM added u`);

/**
 * Adds an account without a password, with its first passkey and session. Runs in a transaction, which is to be undone when this
 * throws.
 *
 * @returns `undefined` when the username is taken, in whatever case
 * @throws PasskeyRejectedError when the registration was used
 */
export async function signUpWithPasskey(
  db: Queryable,
  { registration, name }: { registration: CheckedRegistration<'passkey-sign-up'>; name: string | undefined },
  limits: SessionLimits,
  origin: Origin,
): Promise<(Started & { account: User }) | undefined> {
  const { accountId, username } = registration.challenge;
  const folded = foldName(username);
  const made = await lockAccount(db, accountId);
  // It was renamed: its first name is free, and its id is not.
  if (made && foldName(made.username) !== folded) throw new PasskeyRejectedError(USED);
  const [account] = await INSERT(db, { id: accountId, name: folded, username });
  if (!account) return undefined;
  const byAccount: Origin = { ...origin, actor: `account:${accountId}` };
  const amr = passkeyAmr(registration.passkey.backupEligible);
  const proof = { accountId, credentialVersion: FIRST_VERSION, amr };
  // Before the passkey, which raises the version.
  const started = (await startSession(db, proof, 'sign_up', limits, origin)) as Started;
  const { events } = await addPasskey(db, { accountId, registration, name }, byAccount);
  return { ...started, events: [...started.events, ...events], account };
}
