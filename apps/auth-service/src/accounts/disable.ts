import type { Queryable } from '@latchkey/service-kit/database';
import { foldUsername, NAMED } from '../credentials/identifiers.js';
import { statement } from '../database/sql.js';
import { type Origin, originValue, recorded } from '../events/recorder.js';

const set = (event: 'user_disabled' | 'user_enabled', disabledAt: string) =>
  statement<{ changed: boolean }, { name: string; origin: string }>(`
    WITH changed AS (
      UPDATE auth.users u SET disabled_at = ${disabledAt}
      WHERE u.id = ${NAMED} AND (u.disabled_at IS NULL) = (${disabledAt} IS NOT NULL) RETURNING u.id
    ), recorded AS (${recorded({ event, from: 'changed', account: 'changed.id' })})
    SELECT EXISTS (SELECT FROM changed) AS changed FROM auth.users u WHERE u.id = ${NAMED}`);
const DISABLE = set('user_disabled', 'now()');
const ENABLE = set('user_enabled', 'NULL::timestamptz');

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
  const [row] = await (disabled ? DISABLE : ENABLE)(db, { name: foldUsername(username), origin: originValue(origin) });
  return row?.changed;
}
