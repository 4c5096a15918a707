import type { Queryable } from '@latchkey/service-kit/database';
import type { Passkey } from '@latchkey/user-schema';
import { statement } from '../../database/sql.js';
import { EVENTS, type Origin, originValue, type RecordedEvent, recorded } from '../../events/recorder.js';
import { PASSKEY } from './stored-passkeys.js';

type OnePasskey = { accountId: string; passkeyId: string };

type Renamed = Passkey & { events: RecordedEvent[] };

const RENAME = statement<Renamed, OnePasskey & { name: string; origin: string }>(`
  WITH renamed AS (
    UPDATE auth.passkeys p SET name = $name WHERE p.account_id = $accountId AND p.id = $passkeyId RETURNING p.*
  ), ${recorded({
    event: 'passkey_renamed',
    from: 'renamed',
    account: 'renamed.account_id',
    details: `jsonb_build_object('passkeyId', renamed.id)`,
  })}
  SELECT ${PASSKEY}, ${EVENTS} FROM renamed p`);

/** Renames a passkey; `undefined` when the account has no such one. */
export async function renamePasskey(
  db: Queryable,
  which: OnePasskey & { name: string },
  origin: Origin,
): Promise<{ passkey: Passkey; events: RecordedEvent[] } | undefined> {
  const [renamed] = await RENAME(db, { ...which, origin: originValue(origin) });
  if (!renamed) return undefined;
  const { events, ...passkey } = renamed;
  return { passkey, events };
}

const JUDGE = statement<{ isLast: boolean }, OnePasskey & { rpId: string }>(`
  SELECT u.password_hash IS NULL AND NOT EXISTS (
    SELECT FROM auth.passkeys o WHERE o.account_id = $accountId AND o.id <> $passkeyId AND o.rp_id = $rpId) AS "isLast"
  FROM auth.users u JOIN auth.passkeys p ON p.account_id = u.id WHERE u.id = $accountId AND p.id = $passkeyId`);

// Without a factor, recovery codes stand for nothing. A sign-in that has begun with the passkey does not go on.
const REMOVE = statement<{ events: RecordedEvent[] }, OnePasskey & { origin: string }>(`
  WITH removed AS (
    DELETE FROM auth.passkeys WHERE account_id = $accountId AND id = $passkeyId RETURNING account_id, id
  ), codes AS (
    DELETE FROM auth.recovery_codes WHERE account_id = $accountId
      AND NOT EXISTS (SELECT FROM auth.passkeys p WHERE p.account_id = $accountId AND p.id <> $passkeyId)
      AND NOT EXISTS (SELECT FROM auth.totp f WHERE f.account_id = $accountId AND f.confirmed_at IS NOT NULL)
  ), versioned AS (
    UPDATE auth.users SET credential_version = credential_version + 1 WHERE id = $accountId
  ), ${recorded({
    event: 'passkey_removed',
    from: 'removed',
    account: 'removed.account_id',
    details: `jsonb_build_object('passkeyId', removed.id)`,
    notice: 'removed',
  })}
  SELECT ${EVENTS}`);

/**
 * Removes a passkey. Runs in a transaction that has locked the account.
 *
 * @returns `last` when nobody could sign in without it, `undefined` when the account has no such passkey
 */
export async function removePasskey(
  db: Queryable,
  { rpId, ...which }: OnePasskey & { rpId: string },
  origin: Origin,
): Promise<RecordedEvent[] | 'last' | undefined> {
  const [found] = await JUDGE(db, { ...which, rpId });
  if (!found) return undefined;
  if (found.isLast) return 'last';
  const [removed] = await REMOVE(db, { ...which, origin: originValue(origin) });
  return removed?.events;
}
