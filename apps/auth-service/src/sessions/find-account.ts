import type { Queryable } from '@latchkey/service-kit/database';
import type { User } from '@latchkey/user-schema';
import { statement } from '../database/sql.js';
import { ACCOUNT } from '../tokens/account.js';
import { IS_LIVE } from './session.js';

const FIND = statement<User, { sessionId: string }>(`
  SELECT ${ACCOUNT} FROM auth.users u
  WHERE u.id = (SELECT s.user_id FROM auth.sessions s WHERE s.id = $sessionId AND ${IS_LIVE}) AND u.disabled_at IS NULL`);

/** Finds the account of a session, while both are alive. */
export async function findSessionAccount(db: Queryable, sessionId: string): Promise<User | undefined> {
  const [account] = await FIND(db, { sessionId });
  return account;
}
