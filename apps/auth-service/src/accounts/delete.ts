import type { Queryable } from '@latchkey/service-kit/database';
import { statement } from '../database/sql.js';
import type { Origin } from '../events/recorder.js';
import { endSessions } from '../sessions/end.js';

type Account = { accountId: string };

// A session that starts meanwhile waits for the lock, and then finds no account.
const LOCK = statement<{ id: string }, Account>('SELECT u.id FROM auth.users u WHERE u.id = $accountId FOR UPDATE');

// A statement of its own: the trigger of the deleted account, which is there for SQL, does the same, and PostgreSQL refuses to
// delete a row that a trigger of the same statement has deleted.
const DELETE_NAMES = statement<never, Account>('DELETE FROM auth.identifiers WHERE user_id = $accountId');

const DELETE_TOKENS = statement<never, Account>('DELETE FROM auth.one_time_tokens WHERE account_id = $accountId');

// Sessions, second factors and keys of sign-ups are deleted with it, by their foreign keys.
const DELETE = statement<never, Account>('DELETE FROM auth.users WHERE id = $accountId');

/**
 * Deletes an account with its sessions and names. Its sessions end first, so that its tokens are refused. The audit trail keeps the
 * ids. Runs in a transaction.
 *
 * @returns how many live sessions it had; `undefined` when there is no such account
 */
export async function deleteAccount(db: Queryable, accountId: string, origin: Origin): Promise<number | undefined> {
  const [account] = await LOCK(db, { accountId });
  if (!account) return undefined;
  const { ended } = await endSessions(db, { accountId, scope: 'all' }, { reason: 'user_deleted' }, origin);
  await DELETE_TOKENS(db, { accountId });
  await DELETE_NAMES(db, { accountId });
  await DELETE(db, { accountId });
  return ended.length;
}
