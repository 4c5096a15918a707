import type { User } from '@latchkey/user-schema';
import { type Queryable, utc } from './sql.js';

/** What sign-in needs to know of an account. */
export type StoredCredentials = User & { passwordHash: string | null; disabled: boolean };

export const USER_COLUMNS = `id, username, ${utc('created_at')} AS "createdAt"`;

/** Finds an account by its name, in whatever case, with what proves it. */
export async function findCredentials(db: Queryable, username: string): Promise<StoredCredentials | undefined> {
  const { rows } = await db.query<StoredCredentials>(
    `SELECT ${USER_COLUMNS}, password_hash AS "passwordHash", disabled_at IS NOT NULL AS disabled
     FROM auth.users WHERE lower(username COLLATE "C") = lower($1 COLLATE "C")`,
    [username],
  );
  return rows[0];
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
