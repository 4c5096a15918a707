import type { Queryable } from '@latchkey/service-kit/database';
import { statement } from '../database/sql.js';
import { EVENTS, type Origin, originValue, type RecordedEvent, recorded } from '../events/recorder.js';
import { ADDRESSED, foldName } from './identifiers.js';
import { dropTokens } from './one-time-tokens/stored-tokens.js';

/** An account, and its verified address. */
export type Addressed = { accountId: string; username: string; email: string | null };

type Locked = Addressed & { isDisabled: boolean };

const FIND = statement<Addressed, { name: string }>(`
  SELECT u.id AS "accountId", u.username, u.email FROM auth.users u WHERE u.id = ${ADDRESSED}`);

/** Finds the account that has verified an address, in whatever case; it may be disabled. */
export async function findByAddress(
  db: Queryable,
  email: string,
): Promise<(Addressed & { email: string }) | undefined> {
  const [found] = await FIND(db, { name: foldName(email) });
  return found as (Addressed & { email: string }) | undefined;
}

const LOCK = statement<Locked, { accountId: string }>(`
  SELECT u.id AS "accountId", u.username, u.email, u.disabled_at IS NOT NULL AS "isDisabled" FROM auth.users u
  WHERE u.id = $accountId FOR NO KEY UPDATE`);

const CLAIM = statement<{ accountId: string }, { name: string; accountId: string }>(`
  INSERT INTO auth.identifiers AS i (name, kind, user_id) VALUES ($name, 'email', $accountId)
  ON CONFLICT (name, kind) DO UPDATE SET user_id = i.user_id RETURNING i.user_id AS "accountId"`);

const RELEASE = statement<never, { name: string; accountId: string }>(
  `DELETE FROM auth.identifiers WHERE name = $name AND kind = 'email' AND user_id = $accountId`,
);

const set = (event: 'email_changed' | 'email_removed') =>
  statement<{ events: RecordedEvent[] }, { accountId: string; email: string | null; origin: string }>(`
    WITH changed AS (
      UPDATE auth.users SET email = $email WHERE id = $accountId RETURNING id
    ), ${recorded({ event, from: 'changed', account: 'changed.id' })}
    SELECT ${EVENTS}`);
const CHANGE = set('email_changed');
const REMOVE = set('email_removed');

/** An account whose address has changed, and the one that it had before. */
export type AddressChange = { account: Addressed; events: RecordedEvent[] };

/**
 * Locks an account; `undefined` when there is none. Every transaction that changes what identifies an account, or
 * uses or makes a token of it, locks the account first, so that no two of them deadlock, and sees what others have done before.
 */
export async function lockAccount(db: Queryable, accountId: string): Promise<Locked | undefined> {
  const [account] = await LOCK(db, { accountId });
  return account;
}

/** Claims an address for an account, whatever that has had; resolves to whether it has it now. Runs in a transaction. */
export async function claimAddress(db: Queryable, accountId: string, email: string): Promise<boolean> {
  const [claimed] = await CLAIM(db, { name: foldName(email), accountId });
  return claimed?.accountId === accountId;
}

/**
 * Makes an address the verified one of an account. Runs in a transaction.
 *
 * @returns `taken` when another account has verified it, and `undefined` when there is no such account, or it is disabled
 */
export async function setAddress(
  db: Queryable,
  accountId: string,
  email: string,
  origin: Origin,
): Promise<AddressChange | 'taken' | undefined> {
  const account = await lockAccount(db, accountId);
  if (!account || account.isDisabled) return undefined;
  if (!(await claimAddress(db, accountId, email))) return 'taken';
  if (account.email !== null && foldName(account.email) !== foldName(email)) {
    await RELEASE(db, { name: foldName(account.email), accountId });
  }
  // A link that was mailed to the previous address must not outlive it.
  await dropTokens(db, accountId, 'reset-password', 'verify-email');
  const [changed] = await CHANGE(db, { accountId, email, origin: originValue(origin) });
  return { account, events: changed?.events ?? [] };
}

/** Removes the address of an account, verified or not, with the links that were mailed to it. Runs in a transaction. */
export async function removeAddress(
  db: Queryable,
  accountId: string,
  origin: Origin,
): Promise<AddressChange | undefined> {
  const account = await lockAccount(db, accountId);
  if (!account) return undefined;
  await dropTokens(db, accountId, 'reset-password', 'verify-email');
  if (account.email === null) return undefined;
  await RELEASE(db, { name: foldName(account.email), accountId });
  const [removed] = await REMOVE(db, { accountId, email: null, origin: originValue(origin) });
  return { account, events: removed?.events ?? [] };
}
