import type { Queryable } from '@latchkey/service-kit/database';
import type { User } from '@latchkey/user-schema';
import { statement } from '../../database/sql.js';
import { ACCOUNT } from '../../tokens/account.js';
import { foldName, NAMED_OR_ADDRESSED } from '../identifiers.js';
import { formOf } from './stored-hash.js';

/** What proves an account, and whether it may sign in. */
export type StoredPassword = User & { passwordHash: string | null; disabled: boolean; credentialVersion: number };

/** The columns of {@link StoredPassword}, of an account `u`. */
export const PASSWORD = `${ACCOUNT}, u.password_hash AS "passwordHash", u.disabled_at IS NOT NULL AS disabled,
  u.credential_version AS "credentialVersion"`;

const FIND = statement<StoredPassword, { name: string }>(
  `SELECT ${PASSWORD} FROM auth.users u WHERE u.id = ${NAMED_OR_ADDRESSED}`,
);

/** Finds an account by its username or its verified address, in whatever case, with what proves it. */
export async function findPassword(db: Queryable, username: string): Promise<StoredPassword | undefined> {
  const [found] = await FIND(db, { name: foldName(username) });
  return found;
}

const FIND_OF_ACCOUNT = statement<StoredPassword, { accountId: string }>(
  `SELECT ${PASSWORD} FROM auth.users u WHERE u.id = $accountId`,
);

/** Finds what proves an account. */
export async function findPasswordOf(db: Queryable, accountId: string): Promise<StoredPassword | undefined> {
  const [found] = await FIND_OF_ACCOUNT(db, { accountId });
  return found;
}

/** Why a password does not let its caller in: for the operator; the caller is not told. */
export function reasonOf(found: StoredPassword | undefined): string {
  if (!found) return 'unknown_account';
  if (found.disabled) return 'disabled';
  return found.passwordHash ? 'wrong_password' : 'no_password';
}

/** The columns of a hash and its form. */
export const HASH_COLUMNS = 'password_hash, hash_form, hash_cost, hash_secret';
/** The parameters for them. */
export const HASH_VALUES = '$passwordHash, $hashForm, $hashCost::integer, $hashSecret';

/** Values of {@link HASH_VALUES}. */
export type HashValues = {
  passwordHash: string;
  hashForm: string;
  hashCost: number | null;
  hashSecret: string | null;
};

/** What is stored of a hash. */
export function hashValues(passwordHash: string): HashValues {
  const { form, cost, secret } = formOf(passwordHash);
  return { passwordHash, hashForm: form, hashCost: cost, hashSecret: secret };
}

const REPLACE = statement<never, HashValues & { accountId: string; from: string }>(`
  UPDATE auth.users SET (${HASH_COLUMNS}) = ROW (${HASH_VALUES}) WHERE id = $accountId AND password_hash = $from`);

/** Replaces a hash by another one of the same password, unless the hash has changed meanwhile. */
export async function replacePasswordHash(db: Queryable, accountId: string, from: string, to: string): Promise<void> {
  await REPLACE(db, { accountId, from, ...hashValues(to) });
}

/** The highest bcrypt cost of any account's hash. */
export async function findHighestCost(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ cost: number | null }>('SELECT max(hash_cost) AS cost FROM auth.users');
  return rows[0]?.cost ?? 0;
}

/** How many hashes have one form; see `formOf`. `null` stands for accounts without a password, and empty for an unread hash. */
export type FormCount = { form: string | null; accounts: number };

/** Counts accounts by the forms of their hashes. */
export async function countForms(db: Queryable): Promise<FormCount[]> {
  const { rows } = await db.query<FormCount>(
    `SELECT CASE WHEN password_hash IS NOT NULL THEN coalesce(hash_form, '') END AS form, count(*)::int AS accounts
     FROM auth.users GROUP BY 1 ORDER BY 2 DESC`,
  );
  return rows;
}

/** How many accounts have hashes with the pepper of a secret. */
export type PepperCount = { secretId: string; accounts: number };

/** Counts accounts by the secret that their hashes need; those of other forms need none. */
export async function countPeppers(db: Queryable): Promise<PepperCount[]> {
  const { rows } = await db.query<PepperCount>(
    `SELECT hash_secret AS "secretId", count(*)::int AS accounts
     FROM auth.users WHERE hash_secret IS NOT NULL GROUP BY 1 ORDER BY 1`,
  );
  return rows;
}

const IS_UNREAD = 'password_hash IS NOT NULL AND hash_form IS NULL';
// So that a load on the service's own connection takes some 20 ms.
const READ_AT_ONCE = 500;

/** Counts the hashes that others have written and whose form has not been read yet. */
export async function countUnreadHashes(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM auth.users WHERE ${IS_UNREAD}`,
  );
  return rows[0]?.count ?? 0;
}

/**
 * Reads the forms of hashes that others have written: replicas of the version before, and SQL.
 *
 * @returns whether there may be more
 */
export async function readHashForms(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ id: string; hash: string }>(
    `SELECT id, password_hash AS hash FROM auth.users WHERE ${IS_UNREAD} ORDER BY id LIMIT ${READ_AT_ONCE}`,
  );
  if (rows.length === 0) return false;
  const values = rows.map(({ hash }) => hashValues(hash));
  await db.query(
    // Rows that others have locked are left to them: another replica reads them too, or they are changing.
    `WITH locked AS (
       SELECT u.id, read.form, read.cost, read.secret
       FROM auth.users u
       JOIN unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::text[]) AS read (id, hash, form, cost, secret)
         ON u.id = read.id AND u.password_hash = read.hash
       WHERE u.hash_form IS NULL FOR NO KEY UPDATE OF u SKIP LOCKED
     )
     UPDATE auth.users u SET hash_form = locked.form, hash_cost = locked.cost, hash_secret = locked.secret
     FROM locked WHERE u.id = locked.id`,
    [
      rows.map(({ id }) => id),
      rows.map(({ hash }) => hash),
      values.map(({ hashForm }) => hashForm),
      values.map(({ hashCost }) => hashCost),
      values.map(({ hashSecret }) => hashSecret),
    ],
  );
  return rows.length === READ_AT_ONCE;
}
