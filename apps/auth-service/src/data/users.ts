import type { User } from '@latchkey/user-schema';
import type { Queryable } from './queryable.js';

/** What sign-in needs to know of an account. */
export type StoredCredentials = User & { passwordHash: string | null; disabled: boolean };

const USER_COLUMNS = `id, username, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "createdAt"`;

/** Adds an account; `undefined` when the username is taken, in whatever case. */
export async function insertUser(
  db: Queryable,
  user: { id: string; username: string; passwordHash: string },
): Promise<User | undefined> {
  const { rows } = await db.query<User>(
    `INSERT INTO auth.users (id, username, password_hash) VALUES ($1, $2, $3)
     ON CONFLICT (lower(username COLLATE "C")) DO NOTHING RETURNING ${USER_COLUMNS}`,
    [user.id, user.username, user.passwordHash],
  );
  return rows[0];
}

/** Finds an account by its name, in whatever case, with what proves it. */
export async function findCredentials(db: Queryable, username: string): Promise<StoredCredentials | undefined> {
  const { rows } = await db.query<StoredCredentials>(
    `SELECT ${USER_COLUMNS}, password_hash AS "passwordHash", disabled_at IS NOT NULL AS disabled
     FROM auth.users WHERE lower(username COLLATE "C") = lower($1 COLLATE "C")`,
    [username],
  );
  return rows[0];
}

/** Finds an account that may still be used. */
export async function findEnabledUser(db: Queryable, id: string): Promise<User | undefined> {
  const { rows } = await db.query<User>(
    `SELECT ${USER_COLUMNS} FROM auth.users WHERE id = $1 AND disabled_at IS NULL`,
    [id],
  );
  return rows[0];
}

/** Replaces a password hash, unless somebody else has replaced it meanwhile. */
export async function replacePasswordHash(db: Queryable, id: string, from: string, to: string): Promise<void> {
  await db.query('UPDATE auth.users SET password_hash = $3 WHERE id = $1 AND password_hash = $2', [id, from, to]);
}
