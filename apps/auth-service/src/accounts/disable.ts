import { inTransaction, type Queryable } from '@latchkey/service-kit/database';
import { lockAccount } from '../credentials/addresses.js';
import { findAccountId } from '../credentials/identifiers.js';
import { dropTokens } from '../credentials/one-time-tokens/stored-tokens.js';
import { statement } from '../database/sql.js';
import { type Origin, originValue, recorded } from '../events/recorder.js';
import { endSessions } from '../sessions/end.js';

const DISABLE = statement<never, { accountId: string }>(
  'UPDATE auth.users SET disabled_at = now() WHERE id = $accountId',
);

const ENABLE = statement<never, { accountId: string; origin: string }>(`
  WITH changed AS (
    UPDATE auth.users SET disabled_at = NULL WHERE id = $accountId RETURNING id
  ), ${recorded({ event: 'user_enabled', from: 'changed', account: 'changed.id' })}
  SELECT FROM changed`);

/**
 * Disables an account, which ends its sessions, or enables it.
 *
 * @returns whether that changed anything; `undefined` when there is none with that name
 */
export async function setDisabled(
  db: Queryable,
  { username, disabled }: { username: string; disabled: boolean },
  origin: Origin,
): Promise<boolean | undefined> {
  return inTransaction(db, async () => {
    const accountId = await findAccountId(db, username);
    // A session that starts meanwhile waits for the lock, and then finds the account disabled.
    const account = accountId && (await lockAccount(db, accountId));
    if (!account) return undefined;
    if (account.isDisabled === disabled) return false;
    if (disabled) {
      await endSessions(db, { accountId, scope: 'all' }, { reason: 'user_disabled' }, origin);
      await dropTokens(db, accountId, 'verify-email', 'reset-password');
      await DISABLE(db, { accountId });
    } else {
      await ENABLE(db, { accountId, origin: originValue(origin) });
    }
    return true;
  });
}
