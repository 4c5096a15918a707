import type { Queryable } from '@latchkey/service-kit/database';
import type { User } from '@latchkey/user-schema';
import { foldName, NAMED, NAMED_OR_ADDRESSED } from '../credentials/identifiers.js';
import { formOf } from '../credentials/password/stored-hash.js';
import { statement, utc } from '../database/sql.js';
import { isUuid } from '../database/uuid.js';
import { IS_LIVE } from '../sessions/session.js';
import { ACCOUNT } from '../tokens/account.js';

/** What an operator sees of an account. */
export type AccountDetails = User & {
  disabledAt: string | null;
  /** Live sessions, counted up to 10,000. */
  sessions: number;
  /** When its newest session began; `null` when none is left. */
  lastSignInAt: string | null;
  /** The form of its hash; see `formOf`. `null` for an account without a password. */
  hashForm: string | null;
  /** Beside the password: whether it has an authenticator app, and how many passkeys and unused recovery codes. */
  factors: { totp: boolean; passkeys: number; recoveryCodes: number };
};

type Row = Omit<AccountDetails, 'hashForm'> & { passwordHash: string | null };

const MOST_COUNTED = 10_000;

const find = <Values extends object>(id: string) =>
  statement<Row, Values>(`
    SELECT ${ACCOUNT}, ${utc('u.disabled_at')} AS "disabledAt", u.password_hash AS "passwordHash",
      json_build_object(
        'totp', EXISTS (SELECT FROM auth.totp f WHERE f.account_id = u.id AND f.confirmed_at IS NOT NULL),
        'passkeys', (SELECT count(*) FROM auth.passkeys f WHERE f.account_id = u.id),
        'recoveryCodes', (SELECT count(*) FROM auth.recovery_codes f WHERE f.account_id = u.id)) AS factors,
      (SELECT count(*)::int FROM (
        SELECT FROM auth.sessions s WHERE s.user_id = u.id AND ${IS_LIVE} LIMIT ${MOST_COUNTED}) AS live) AS sessions,
      (SELECT ${utc('s.created_at')} FROM auth.sessions s WHERE s.user_id = u.id ORDER BY s.id DESC LIMIT 1) AS "lastSignInAt"
    FROM auth.users u WHERE u.id = ${id}`);
const BY_ID = find<{ id: string }>('$id::uuid');
const BY_NAME = find<{ name: string }>(NAMED);
const BY_NAME_OR_ADDRESS = find<{ name: string }>(NAMED_OR_ADDRESSED);

/** Finds an account by its username, in whatever case. */
export async function findAccountNamed(db: Queryable, username: string): Promise<AccountDetails | undefined> {
  const [row] = await BY_NAME(db, { name: foldName(username) });
  return row && withoutHash(row);
}

/**
 * Finds an account by its id, or by its username or verified address in whatever case. The id takes precedence: a username may have the form of an id, and
 * must not hide the account that has that id.
 */
export async function findAccount(db: Queryable, nameOrId: string): Promise<AccountDetails | undefined> {
  const [row] = isUuid(nameOrId) ? await BY_ID(db, { id: nameOrId }) : [];
  if (row) return withoutHash(row);
  const [named] = await BY_NAME_OR_ADDRESS(db, { name: foldName(nameOrId) });
  return named && withoutHash(named);
}

function withoutHash({ passwordHash, ...account }: Row): AccountDetails {
  return { ...account, hashForm: passwordHash === null ? null : formOf(passwordHash).form };
}
