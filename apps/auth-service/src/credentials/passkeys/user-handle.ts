import { randomBytes } from 'node:crypto';
import type { Queryable } from '@latchkey/service-kit/database';
import { statement } from '../../database/sql.js';

const HANDLE_BYTES = 32;
const FORM = /^[\w-]{43}$/;

/** A new user handle, as base64url: it tells nothing of whose it is (WebAuthn Level 3 §14.6.1). */
export const newHandle = (): string => randomBytes(HANDLE_BYTES).toString('base64url');

/** Whether a text has the form of a user handle. */
export const isHandle = (text: string): boolean => FORM.test(text);

// The account is locked, so the handle that it has here is the one that it keeps.
const CLAIM_HANDLE = statement<{ isClaimed: boolean }, { accountId: string; handle: Buffer; name: string }>(`
  WITH kept AS (
    UPDATE auth.users SET passkey_handle = $handle WHERE id = $accountId AND passkey_handle IS NULL RETURNING id
  ), named AS (
    INSERT INTO auth.identifiers (name, kind, user_id) SELECT $name, 'passkey', id FROM kept
  )
  SELECT coalesce(u.passkey_handle, $handle) = $handle AS "isClaimed" FROM auth.users u WHERE u.id = $accountId`);

/** Makes a user handle that of an account that has none; resolves to whether it is its handle. Runs in a transaction. */
export async function claimHandle(db: Queryable, accountId: string, name: string): Promise<boolean> {
  const [row] = await CLAIM_HANDLE(db, { accountId, handle: Buffer.from(name, 'base64url'), name });
  return row?.isClaimed ?? false;
}
