import type { Queryable } from '@latchkey/service-kit/database';
import { statement } from '../../database/sql.js';
import type { Origin } from '../../events/recorder.js';
import { type Ended, endSessions } from '../../sessions/end.js';
import { renewSession } from '../../sessions/renew.js';
import { IS_LIVE, IS_SESSION, type Lifetimes, type SessionState } from '../../sessions/session.js';
import { dropTokens } from '../one-time-tokens/stored-tokens.js';
import { HASH_COLUMNS, HASH_VALUES, type HashValues } from './stored-passwords.js';

type Change = {
  accountId: string;
  sessionId: string;
  /** The version of the credentials that the caller has proved. */
  credentialVersion: number;
} & HashValues;

const UPDATE = statement<{ credentialVersion: number }, Change>(`
  UPDATE auth.users SET (${HASH_COLUMNS}) = ROW (${HASH_VALUES}), credential_version = credential_version + 1
  WHERE id = $accountId AND credential_version = $credentialVersion
    AND EXISTS (SELECT FROM auth.sessions s WHERE ${IS_SESSION} AND ${IS_LIVE})
  RETURNING credential_version AS "credentialVersion"`);

/**
 * Changes a password and ends every other session. Runs in a transaction: the second statement must see the sessions that
 * began, under the old password, while the first waited for the account's row.
 *
 * @returns `undefined` when the password or the session has changed meanwhile; then the transaction is to be undone
 */
export async function changePassword(
  db: Queryable,
  change: Change,
  lifetimes: Lifetimes,
  origin: Origin,
): Promise<(Ended & { session: SessionState }) | undefined> {
  const [changed] = await UPDATE(db, change);
  if (!changed) return undefined;
  // Links that somebody else has asked for, or has seen.
  await dropTokens(db, change.accountId, 'verify-email', 'reset-password');
  const others = await endSessions(db, { ...change, scope: 'others' }, { reason: 'password_changed' }, origin);
  const { accountId, sessionId } = change;
  const session = await renewSession(db, { accountId, sessionId, ...changed }, lifetimes);
  return session && { ...others, session };
}
