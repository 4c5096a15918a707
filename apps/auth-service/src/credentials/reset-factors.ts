import type { Queryable } from '@latchkey/service-kit/database';
import { statement } from '../database/sql.js';
import type { EventDetails } from '../events/names.js';
import type { Origin, RecordedEvent } from '../events/recorder.js';
import { endSessions } from '../sessions/end.js';
import { lockAccount } from './addresses.js';

type Account = { accountId: string };

// The handle stays: authenticators keep passkeys by it, and replace theirs when another one is made.
const DELETE = statement<never, Account>(`
  WITH totp AS (
    DELETE FROM auth.totp WHERE account_id = $accountId
  ), codes AS (
    DELETE FROM auth.recovery_codes WHERE account_id = $accountId
  ), passkeys AS (
    DELETE FROM auth.passkeys WHERE account_id = $accountId
  )
  UPDATE auth.users SET credential_version = credential_version + 1 WHERE id = $accountId`);

/**
 * Removes the authenticator app, the recovery codes and the passkeys of an account, and ends its sessions, as for an owner who has
 * lost them. Runs in a transaction.
 *
 * @returns what it had; `undefined` when there is no such account
 */
export async function resetFactors(
  db: Queryable,
  accountId: string,
  origin: Origin,
): Promise<EventDetails['factors_reset'] | undefined> {
  // A session that starts meanwhile waits for the lock, and then finds another version of the credentials.
  if (!(await lockAccount(db, accountId))) return undefined;
  const { events } = await endSessions(db, { accountId, scope: 'all' }, { reason: 'factors_reset' }, origin);
  await DELETE(db, { accountId });
  return (events as RecordedEvent<'factors_reset'>[])[0]?.details ?? undefined;
}
