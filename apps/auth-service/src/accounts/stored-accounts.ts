import type { User } from '@latchkey/user-schema';
import { type Queryable, utc } from '../database/sql.js';
import { type Origin, originValue, recording } from '../events/audit-events.js';

/** What sign-in needs to know of an account. */
export type StoredCredentials = User & { passwordHash: string | null; disabled: boolean };

export const USER_COLUMNS = `id, username, ${utc('created_at')} AS "createdAt"`;
/** The columns of {@link StoredCredentials}, of `auth.users u`. */
export const CREDENTIALS_COLUMNS = `u.id, u.username, ${utc('u.created_at')} AS "createdAt",
  u.password_hash AS "passwordHash", u.disabled_at IS NOT NULL AS disabled`;

/** Finds an account by its name, in whatever case, with what proves it. */
export async function findCredentials(db: Queryable, username: string): Promise<StoredCredentials | undefined> {
  const { rows } = await db.query<StoredCredentials>(
    `SELECT ${CREDENTIALS_COLUMNS} FROM auth.users u WHERE lower(u.username COLLATE "C") = lower($1 COLLATE "C")`,
    [username],
  );
  return rows[0];
}

/** Why a password does not let anybody in, for the operator; the caller hears nothing of it. */
export function reasonOf(found: StoredCredentials | undefined): string {
  if (!found) return 'unknown_account';
  if (found.disabled) return 'disabled';
  return found.passwordHash ? 'wrong_password' : 'no_password';
}

/** The password hash of an account, if it has one. */
export async function findPasswordHash(db: Queryable, id: string): Promise<string | undefined> {
  const { rows } = await db.query<{ hash: string | null }>(
    'SELECT password_hash AS hash FROM auth.users WHERE id = $1',
    [id],
  );
  return rows[0]?.hash ?? undefined;
}

/** The highest bcrypt cost of any account's hash. */
export async function findHighestCost(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ cost: number | null }>(
    'SELECT max(auth.password_cost(password_hash)) AS cost FROM auth.users',
  );
  return rows[0]?.cost ?? 0;
}

/** Replaces a password hash; `false` when somebody else has replaced it meanwhile. */
export async function replacePasswordHash(db: Queryable, id: string, from: string, to: string): Promise<boolean> {
  const { rowCount } = await db.query('UPDATE auth.users SET password_hash = $3 WHERE id = $1 AND password_hash = $2', [
    id,
    from,
    to,
  ]);
  return rowCount === 1;
}

/**
 * Disables an account, which ends its sessions, or enables it: whether that changed anything; `undefined` when there is
 * none with that name.
 */
export async function setUserDisabled(
  db: Queryable,
  user: { username: string; disabled: boolean },
  origin: Origin,
): Promise<boolean | undefined> {
  const named = 'lower(username COLLATE "C") = lower($1 COLLATE "C")';
  const { rows } = await db.query<{ changed: boolean }>(
    `WITH u AS (
       UPDATE auth.users SET disabled_at = CASE WHEN $2 THEN now() END
       WHERE ${named} AND (disabled_at IS NOT NULL) <> $2 RETURNING id
     ), recorded AS (${recording(
       '$3',
       `SELECT CASE WHEN $2 THEN 'user_disabled' ELSE 'user_enabled' END, u.id, NULL::uuid, NULL::text, NULL::jsonb FROM u`,
     )})
     SELECT EXISTS (SELECT FROM u) AS changed FROM auth.users WHERE ${named}`,
    [user.username, user.disabled, originValue(origin)],
  );
  return rows[0]?.changed;
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
