import type { Queryable } from '@latchkey/service-kit/database';
import { statement } from '../database/sql.js';

/** A username or an e-mail address as it is found: ASCII letters in lower case, and no others, which none has. */
export const foldName = (name: string): string => name.replace(/[A-Z]+/g, letters => letters.toLowerCase());

/** SQL: the id of the account that has the username `$name`, as {@link foldName} returns it. */
export const NAMED = `(SELECT i.user_id FROM auth.identifiers i WHERE i.name = $name AND i.kind = 'username')`;

const FIND = statement<{ accountId: string | null }, { name: string }>(`SELECT ${NAMED} AS "accountId"`);

/** Finds the id of the account that has a username, in whatever case. */
export async function findAccountId(db: Queryable, username: string): Promise<string | undefined> {
  const [found] = await FIND(db, { name: foldName(username) });
  return found?.accountId ?? undefined;
}

/** SQL: the id of the account that has the username or the verified address `$name`, folded. A username takes precedence. */
export const NAMED_OR_ADDRESSED = `(
  SELECT i.user_id FROM auth.identifiers i WHERE i.name = $name AND i.kind IN ('username', 'email') ORDER BY i.kind DESC LIMIT 1)`;

/** SQL: the id of the account that has the verified address `$name`, as {@link foldName} returns it. */
export const ADDRESSED = `(SELECT i.user_id FROM auth.identifiers i WHERE i.name = $name AND i.kind = 'email')`;

/** SQL: claims the folded username `$name` for the new account `$id`, as the query `claimed`, which is empty when it is taken. */
export const CLAIMED = `claimed AS (
    INSERT INTO auth.identifiers (name, kind, user_id) VALUES ($name, 'username', $id) ON CONFLICT DO NOTHING RETURNING user_id
  )`;
