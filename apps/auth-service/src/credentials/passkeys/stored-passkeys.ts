import type { Queryable } from '@latchkey/service-kit/database';
import type { User } from '@latchkey/user-schema';
import { statement, utc } from '../../database/sql.js';
import { usedChallenge } from '../../sessions/challenges.js';
import { ACCOUNT } from '../../tokens/account.js';
import type { PasskeyDescriptor } from './options.js';
import { isHandle } from './user-handle.js';
import type { PasskeyUse } from './verification.js';

/** The columns of a `Passkey`, of a passkey `p`. */
export const PASSKEY = `p.id, p.name, ${utc('p.created_at')} AS "createdAt", ${utc('p.last_used_at')} AS "lastUsedAt",
  p.backed_up AS "backedUp"`;

/** An account, and the relying party that its passkeys are used with. */
export type OfAccount = { accountId: string; rpId: string };
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
  if (accountId === undefined && !isHandle(handle)) return undefined;
  const [found] = await (accountId === undefined
    ? FIND_BY_HANDLE(db, { credentialId, rpId, handle })
    : FIND(db, { credentialId, rpId, accountId }));
  return found;
}

/** What the use of a passkey changes. */
export type UsedPasskey = PasskeyUse & { accountId: string; passkeyId: string; challengeHash: Buffer };

/**
 * SQL that uses a challenge up, and keeps what the use has told of the passkey, as the query `proved`: of one row when the passkey
 * is still there, its counter has advanced, and the challenge had not been used before. Its parameters are those of {@link UsedPasskey}.
 *
 * @param account - what follows FROM: one row with the `id` of the account
 */
export const usedPasskey = (account: string) => `${usedChallenge(account)}, proved AS (
  UPDATE auth.passkeys p SET sign_count = $signCount::bigint, backed_up = $backedUp::boolean, last_used_at = now()
  FROM used_challenge c
  WHERE p.account_id = c.account_id AND p.account_id = $accountId::uuid AND p.id = $passkeyId::uuid
    AND (p.sign_count < $signCount::bigint OR (p.sign_count = 0 AND $signCount::bigint = 0))
  RETURNING p.id
)`;

const USE = statement<{ used: boolean }, UsedPasskey>(
  `WITH ${usedPasskey('(SELECT $accountId::uuid AS id)')} SELECT true AS used FROM proved`,
);

/** Uses a passkey and its challenge up; resolves to whether both could be. */
export async function usePasskey(db: Queryable, used: UsedPasskey): Promise<boolean> {
  return (await USE(db, used)).length > 0;
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
