import type { Queryable } from '@latchkey/service-kit/database';
import type { User } from '@latchkey/user-schema';
import { foldName } from '../credentials/identifiers.js';
import { statement } from '../database/sql.js';
import { ACCOUNT } from '../tokens/account.js';

/** An account as it is listed. */
export type ListedAccount = User & { disabled: boolean };

/** A page of accounts, and the `after` of the next page when there is one. */
export type Accounts = { accounts: ListedAccount[]; next?: string };

/** Which accounts to list: those whose usernames begin with `prefix`, in whatever case; only disabled ones when that is asked for. */
export type AccountFilter = { prefix: string | undefined; isDisabled: boolean };

type Values = { prefix: string | undefined; isDisabled: boolean; after: string | undefined; most: number };

const isAfter = (id: string) => `($after::uuid IS NULL OR ${id} < $after)`;

const list = (isNamed: string) =>
  statement<ListedAccount, Values>(`
    SELECT ${ACCOUNT}, u.disabled_at IS NOT NULL AS disabled
    FROM auth.users u
    WHERE ${isAfter('u.id')} AND (NOT $isDisabled::boolean OR u.disabled_at IS NOT NULL) ${isNamed}
    ORDER BY u.id DESC LIMIT $most`);
const ALL = list('');
// Names have the collation "C" and consist of characters below chr(127), so this is a range of their index. PostgreSQL may also walk both
// tables by the ids, where most names begin so; then it must know of both where to begin.
const NAMED = list(`AND u.id IN (
  SELECT i.user_id FROM auth.identifiers i
  WHERE i.kind = 'username' AND i.name >= $prefix AND i.name < $prefix || chr(127) AND ${isAfter('i.user_id')})`);

/** Lists accounts in the descending order of their ids, which is from the newest on: up to `limit` of those below `after`. */
export async function listAccounts(
  db: Queryable,
  { prefix, isDisabled }: AccountFilter,
  { after, limit }: { after: string | undefined; limit: number },
): Promise<Accounts> {
  const page = prefix === undefined ? ALL : NAMED;
  // One more shows whether there is another page.
  const values = { isDisabled, after, most: limit + 1 };
  const rows = await page(db, { ...values, prefix: prefix === undefined ? undefined : foldName(prefix) });
  const accounts = rows.slice(0, limit);
  const last = accounts.at(-1);
  return { accounts, ...(last && rows.length > limit && { next: last.id }) };
}
