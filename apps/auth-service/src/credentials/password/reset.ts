import type { Queryable } from '@latchkey/service-kit/database';
import { statement } from '../../database/sql.js';
import type { Origin } from '../../events/recorder.js';
import { type Ended, endSessions } from '../../sessions/end.js';
import { lockAccount, setAddress } from '../addresses.js';
import { dropTokens, useToken } from '../one-time-tokens/stored-tokens.js';
import { parseToken } from '../one-time-tokens/token.js';
import { HASH_COLUMNS, HASH_VALUES, type HashValues } from './stored-passwords.js';

// A token that was mailed proves the address where the account has none yet, as that of an invitation.
const UPDATE = statement<{ email: string | null }, HashValues & { accountId: string }>(`
  UPDATE auth.users SET (${HASH_COLUMNS}) = ROW (${HASH_VALUES}), credential_version = credential_version + 1
  WHERE id = $accountId AND disabled_at IS NULL RETURNING email`);

/**
 * Sets the password of the account of a token, uses the token up, and ends all sessions of the account. Runs in a transaction: the
 * last statement must see the sessions that began while the second waited for the account's row.
 *
 * @returns `undefined` when the token is not valid any more, or the account is disabled; then the transaction is to be undone
 */
export async function resetPassword(
  db: Queryable,
  { token, ...hash }: { token: string } & HashValues,
  origin: Origin,
): Promise<(Ended & { accountId: string }) | undefined> {
  const parsed = parseToken(token);
  if (!parsed || !(await lockAccount(db, parsed.accountId))) return undefined;
  const used = await useToken(db, token, 'reset-password');
  if (!used) return undefined;
  const { accountId, email } = used;
  const [updated] = await UPDATE(db, { accountId, ...hash });
  if (!updated) return undefined;
  const isProved = email !== null && updated.email === null;
  const change = isProved ? await setAddress(db, accountId, email, origin) : undefined;
  const proved = change && change !== 'taken' ? change.events : [];
  // A link to another address may have been asked for by whom the owner now shuts out.
  await dropTokens(db, accountId, 'verify-email');
  const { ended, events } = await endSessions(db, { accountId, scope: 'all' }, { reason: 'password_reset' }, origin);
  return { ended, events: [...proved, ...events], accountId };
}
