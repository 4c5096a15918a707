import type { Queryable } from '@latchkey/service-kit/database';
import { foldName, NAMED } from '../credentials/identifiers.js';
import { statement } from '../database/sql.js';
import { type Origin, originValue, recorded } from '../events/recorder.js';

/** The result of a rename; `unchanged`: the account has that name already, in the same case. */
export type Renamed = 'renamed' | 'unchanged' | 'taken' | 'unknown';

type Name = { accountId: string; name: string };

const LOCK = statement<{ accountId: string; username: string }, { name: string }>(`
  SELECT u.id AS "accountId", u.username FROM auth.users u WHERE u.id = ${NAMED} FOR NO KEY UPDATE`);

const CLAIM = statement<{ accountId: string }, Name>(`
  INSERT INTO auth.identifiers (name, kind, user_id) VALUES ($name, 'username', $accountId)
  ON CONFLICT DO NOTHING RETURNING user_id AS "accountId"`);

const RELEASE = statement<never, Name>(`
  DELETE FROM auth.identifiers WHERE name = $name AND kind = 'username' AND user_id = $accountId`);

// The trigger that keeps the names for SQL deletes the claimed name and inserts it again. Others who want it wait for the end of this
// transaction meanwhile.
const RENAME = statement<never, { accountId: string; username: string; origin: string }>(`
  WITH changed AS (
    UPDATE auth.users SET username = $username WHERE id = $accountId RETURNING id
  ), ${recorded({ event: 'user_renamed', from: 'changed', account: 'changed.id' })}
  SELECT FROM changed`);

/** Gives an account another username; the previous one becomes free. Runs in a transaction. */
export async function renameAccount(
  db: Queryable,
  { from, to }: { from: string; to: string },
  origin: Origin,
): Promise<Renamed> {
  const [before, name] = [foldName(from), foldName(to)];
  const [account] = await LOCK(db, { name: before });
  // It may have been renamed while this waited for its lock.
  if (!account || foldName(account.username) !== before) return 'unknown';
  const { accountId, username } = account;
  if (username === to) return 'unchanged';
  // The new name is claimed before the old one is released, so that two accounts which swap their names do not deadlock.
  if (name !== before) {
    const [claimed] = await CLAIM(db, { accountId, name });
    if (!claimed) return 'taken';
    await RELEASE(db, { accountId, name: before });
  }
  await RENAME(db, { accountId, username: to, origin: originValue(origin) });
  return 'renamed';
}
