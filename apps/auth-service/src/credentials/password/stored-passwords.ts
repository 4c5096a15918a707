import type { Queryable } from '@latchkey/service-kit/database';
import type { User } from '@latchkey/user-schema';
import { statement } from '../../database/sql.js';
import { ACCOUNT } from '../../tokens/account.js';
import { foldUsername, NAMED } from '../identifiers.js';

/** What proves an account, and whether it may sign in. */
export type StoredPassword = User & { passwordHash: string | null; disabled: boolean; credentialVersion: number };

/** The columns of {@link StoredPassword}, of an account `u`. */
export const PASSWORD = `${ACCOUNT}, u.password_hash AS "passwordHash", u.disabled_at IS NOT NULL AS disabled,
  u.credential_version AS "credentialVersion"`;

const FIND = statement<StoredPassword, { name: string }>(`SELECT ${PASSWORD} FROM auth.users u WHERE u.id = ${NAMED}`);

/** Finds an account by its name, in whatever case, with what proves it. */
export async function findPassword(db: Queryable, username: string): Promise<StoredPassword | undefined> {
  const [found] = await FIND(db, { name: foldUsername(username) });
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

const REPLACE = statement<never, { accountId: string; from: string; to: string }>(
  'UPDATE auth.users SET password_hash = $to WHERE id = $accountId AND password_hash = $from',
);

/** Replaces a hash by another one of the same password, unless the hash has changed meanwhile. */
export async function replacePasswordHash(db: Queryable, accountId: string, from: string, to: string): Promise<void> {
  await REPLACE(db, { accountId, from, to });
}

/** The highest bcrypt cost of any account's hash. */
export async function findHighestCost(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ cost: number | null }>(
    'SELECT max(auth.password_cost(password_hash)) AS cost FROM auth.users',
  );
  return rows[0]?.cost ?? 0;
}

/** How many accounts have hashes of one kind; `head` says which, and is empty for those of no known form. */
export type HashCount = { head: string | null; hasHash: boolean; accounts: number };

/** Counts accounts by what `heads`, a regular expression, finds in their hashes. */
export async function countHashes(db: Queryable, heads: string): Promise<HashCount[]> {
  const { rows } = await db.query<HashCount>(
    `SELECT substring(password_hash FROM $1) AS head, password_hash IS NOT NULL AS "hasHash", count(*)::int AS accounts
     FROM auth.users GROUP BY 1, 2 ORDER BY 3 DESC`,
    [heads],
  );
  return rows;
}

/** How many accounts have hashes with the pepper of a secret. */
export type PepperCount = { secretId: string; accounts: number };

/** Counts accounts by the secret that their hashes need; those of other forms need none. */
export async function countPeppers(db: Queryable): Promise<PepperCount[]> {
  const { rows } = await db.query<PepperCount>(
    `SELECT substr(split_part(password_hash, '$', 3), 3) AS "secretId", count(*)::int AS accounts
     FROM auth.users WHERE password_hash LIKE '$bcrypt-hmac-sha384$k=%' GROUP BY 1 ORDER BY 1`,
  );
  return rows;
}
