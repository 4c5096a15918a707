import { randomBytes } from 'node:crypto';
import type { Queryable } from '@latchkey/service-kit/database';
import type { Passkey, User } from '@latchkey/user-schema';
import { uuidv7 } from 'uuidv7';
import { statement, utc } from '../../database/sql.js';
import { EVENTS, type Origin, originValue, type RecordedEvent, recorded } from '../../events/recorder.js';
import { ACCOUNT } from '../../tokens/account.js';
import type { PasskeyDescriptor } from './options.js';
import type { NewPasskey, PasskeyUse } from './verification.js';

/** The most passkeys that an account may have. */
export const MAX_PASSKEYS = 20;

const HANDLE_BYTES = 32;
const HANDLE = /^[\w-]{43}$/;

/** A new user handle, as base64url: it tells nothing of whose it is (WebAuthn Level 3 §14.6.1). */
export const newHandle = (): string => randomBytes(HANDLE_BYTES).toString('base64url');

/** The columns of a `Passkey`, of a passkey `p`. */
export const PASSKEY = `p.id, p.name, ${utc('p.created_at')} AS "createdAt", ${utc('p.last_used_at')} AS "lastUsedAt",
  p.backed_up AS "backedUp"`;

type OfAccount = { accountId: string; rpId: string };
type OwnerRow = { handle: Buffer | null; credentialId: Buffer | null; transports: string[]; rpId: string };

const FIND_OWNER = statement<OwnerRow, { accountId: string }>(`
  SELECT u.passkey_handle AS handle, p.credential_id AS "credentialId", p.transports, p.rp_id AS "rpId"
  FROM auth.users u LEFT JOIN auth.passkeys p ON p.account_id = u.id WHERE u.id = $accountId ORDER BY p.id`);

/** Finds the user handle of an account, when it has one, and the passkeys that its relying party accepts, of how many it has. */
export async function findPasskeys(
  db: Queryable,
  { accountId, rpId }: OfAccount,
): Promise<{ handle: string | undefined; usable: PasskeyDescriptor[]; count: number }> {
  const rows = await FIND_OWNER(db, { accountId });
  const all = rows.flatMap(({ credentialId, ...row }) => (credentialId === null ? [] : [{ ...row, credentialId }]));
  return {
    handle: rows[0]?.handle?.toString('base64url'),
    usable: all
      .filter(row => row.rpId === rpId)
      .map(({ credentialId, transports }) => ({ id: credentialId.toString('base64url'), transports })),
    count: all.length,
  };
}

/** A passkey with its account. */
export type StoredPasskey = User & {
  credentialVersion: number;
  handle: Buffer;
  passkeyId: string;
  publicKey: Buffer;
  signCount: number;
  backupEligible: boolean;
};

const find = (account: string) =>
  statement<StoredPasskey, { rpId: string; credentialId: Buffer; accountId?: string; handle?: string }>(`
  SELECT ${ACCOUNT}, u.credential_version AS "credentialVersion", u.passkey_handle AS handle,
    p.id AS "passkeyId", p.public_key AS "publicKey", p.sign_count::float8 AS "signCount", p.backup_eligible AS "backupEligible"
  FROM auth.users u JOIN auth.passkeys p ON p.account_id = u.id
  WHERE u.id = ${account} AND p.credential_id = $credentialId AND p.rp_id = $rpId`);
const FIND = find('$accountId');
const FIND_BY_HANDLE = find(`(SELECT i.user_id FROM auth.identifiers i WHERE i.name = $handle AND i.kind = 'passkey')`);

/** Finds a passkey of an account, or of the one with a user handle. Either must be known. */
export async function findPasskey(
  db: Queryable,
  { credentialId, rpId, ...of }: { credentialId: Buffer; rpId: string; accountId?: string; handle?: string },
): Promise<StoredPasskey | undefined> {
  const { handle = '', accountId } = of;
  if (accountId === undefined && !HANDLE.test(handle)) return undefined;
  const [found] = await (accountId === undefined
    ? FIND_BY_HANDLE(db, { credentialId, rpId, handle })
    : FIND(db, { credentialId, rpId, accountId }));
  return found;
}

const USE = statement<{ used: boolean }, PasskeyUse & { accountId: string; passkeyId: string }>(`
  UPDATE auth.passkeys SET sign_count = $signCount::bigint, backed_up = $backedUp, last_used_at = now()
  WHERE account_id = $accountId AND id = $passkeyId
    AND (sign_count < $signCount::bigint OR (sign_count = 0 AND $signCount::bigint = 0)) RETURNING true AS used`);

/** Keeps what a use has told of a passkey; resolves to whether it is still there, and its counter has advanced. */
export async function usePasskey(
  db: Queryable,
  use: PasskeyUse & { accountId: string; passkeyId: string },
): Promise<boolean> {
  return (await USE(db, use)).length > 0;
}

// The account is locked, so the handle that it has here is the one that it keeps.
const CLAIM_HANDLE = statement<{ isClaimed: boolean }, { accountId: string; handle: Buffer; name: string }>(`
  WITH kept AS (
    UPDATE auth.users SET passkey_handle = $handle WHERE id = $accountId AND passkey_handle IS NULL RETURNING id
  ), named AS (
    INSERT INTO auth.identifiers (name, kind, user_id) SELECT $name, 'passkey', id FROM kept
  )
  SELECT coalesce(u.passkey_handle, $handle) = $handle AS "isClaimed" FROM auth.users u WHERE u.id = $accountId`);

/** Makes a user handle that of an account that has none; resolves to whether it is its handle. Runs in a transaction. */
export async function claimHandle(db: Queryable, accountId: string, name: string): Promise<boolean> {
  const [row] = await CLAIM_HANDLE(db, { accountId, handle: Buffer.from(name, 'base64url'), name });
  return row?.isClaimed ?? false;
}

type WithEvents = Passkey & { events: RecordedEvent[] };

const ADD = statement<WithEvents, NewPasskey & OfAccount & { id: string; name: string; origin: string }>(`
  WITH added AS (
    INSERT INTO auth.passkeys AS p (account_id, id, credential_id, public_key, rp_id, name, sign_count, backup_eligible,
      backed_up, transports)
    SELECT $accountId::uuid, $id::uuid, $credentialId::bytea, $publicKey::bytea, $rpId::text, $name::text, $signCount::bigint,
      $backupEligible::boolean, $backedUp::boolean, $transports::text[]
    WHERE (SELECT count(*) FROM auth.passkeys o WHERE o.account_id = $accountId) < ${MAX_PASSKEYS}
    ON CONFLICT DO NOTHING RETURNING p.*
  ), ${recorded({
    event: 'passkey_added',
    from: 'added',
    account: 'added.account_id',
    details: `jsonb_build_object('passkeyId', added.id)`,
    notice: 'added',
  })}
  SELECT ${PASSKEY}, ${EVENTS} FROM added p`);

/** Adds a passkey; `undefined` when the account has it or has as many as it may have. Runs in a transaction. */
export async function insertPasskey(
  db: Queryable,
  passkey: NewPasskey & OfAccount & { name: string },
  origin: Origin,
): Promise<{ passkey: Passkey; events: RecordedEvent[] } | undefined> {
  const [added] = await ADD(db, { ...passkey, id: uuidv7(), origin: originValue(origin) });
  if (!added) return undefined;
  const { events, ...rest } = added;
  return { passkey: rest, events };
}

type OnePasskey = { accountId: string; passkeyId: string };

const RENAME = statement<WithEvents, OnePasskey & { name: string; origin: string }>(`
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

/** How many passkeys of how many accounts were made for a relying party. */
export type PasskeyCount = { rpId: string; passkeys: number; accounts: number };

/** Counts passkeys by their relying parties. */
export async function countPasskeys(db: Queryable): Promise<PasskeyCount[]> {
  const { rows } = await db.query<PasskeyCount>(
    `SELECT rp_id AS "rpId", count(*)::int AS passkeys, count(DISTINCT account_id)::int AS accounts
     FROM auth.passkeys GROUP BY rp_id ORDER BY 1`,
  );
  return rows;
}
