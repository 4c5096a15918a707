import type { Queryable } from '@latchkey/service-kit/database';
import { statement, utc } from '../../database/sql.js';
import { hashToken, newToken, type Purpose, parseToken } from './token.js';

/** How long the link of each purpose is good for, in seconds, unless it is made for another time. */
const TOKEN_TTL_S: Record<Purpose, number> = {
  'verify-email': 86_400,
  'reset-password': 3600,
  'sign-up': 86_400,
};

/** What an account will be made of when its sign-up is confirmed. */
export type PendingSignUp = {
  username: string;
  passwordHash: string;
  /** Of the mail with its link, which may be made several times. */
  mailId: string;
};

/** What a token is for. */
type About = {
  accountId: string;
  purpose: Purpose;
  ttlS?: number | undefined;
  email?: string | undefined;
  signUp?: PendingSignUp;
};

/** A token that was made. */
type Made = {
  token: string;
  expiresAt: string;
  /** Whether it has replaced that of another sign-up, which was valid. */
  isRepeated: boolean;
};

const PUT = statement<Omit<Made, 'token'>, Record<string, unknown>>(`
  WITH made AS (
    INSERT INTO auth.one_time_tokens AS o (account_id, purpose, token_hash, email, sign_up, expires_at)
    VALUES ($accountId, $purpose, $tokenHash, $email, $signUp::jsonb, now() + make_interval(secs => $ttlS::int))
    ON CONFLICT (account_id, purpose) DO UPDATE SET token_hash = excluded.token_hash, email = excluded.email,
      sign_up = excluded.sign_up || jsonb_build_object('repeated', o.used_at IS NULL AND o.expires_at > now()
        AND (o.sign_up->'mailId' <> excluded.sign_up->'mailId' OR coalesce((o.sign_up->>'repeated')::boolean, false))),
      created_at = excluded.created_at, expires_at = excluded.expires_at, used_at = NULL
    RETURNING o.expires_at, coalesce((o.sign_up->>'repeated')::boolean, false) AS repeated
  )
  SELECT ${utc('made.expires_at')} AS "expiresAt", made.repeated AS "isRepeated" FROM made`);

/** Makes a token, which replaces the one that the account has had for the purpose. */
export async function makeToken(db: Queryable, about: About): Promise<Made> {
  const { accountId, purpose, ttlS = TOKEN_TTL_S[about.purpose], email = null, signUp = null } = about;
  const token = newToken(accountId);
  const tokenHash = hashToken(token);
  const value = signUp && JSON.stringify(signUp);
  const [row] = await PUT(db, { accountId, purpose, tokenHash, email, signUp: value, ttlS });
  return { token, ...(row as Omit<Made, 'token'>) };
}

/** A token that is valid, and what it is for. */
export type ValidToken = { accountId: string; purpose: Purpose; email: string | null; signUp: PendingSignUp | null };

type Given = { accountId: string; tokenHash: Buffer; purposes: Purpose[] };

const IS_VALID = `account_id = $accountId AND purpose = ANY ($purposes::text[]) AND token_hash = $tokenHash
  AND used_at IS NULL AND expires_at > now()`;
const COLUMNS = 'account_id AS "accountId", purpose, email, sign_up AS "signUp"';

const FIND = statement<ValidToken, Given>(`SELECT ${COLUMNS} FROM auth.one_time_tokens WHERE ${IS_VALID}`);

const USE = statement<ValidToken, Given>(
  `UPDATE auth.one_time_tokens SET used_at = now() WHERE ${IS_VALID} RETURNING ${COLUMNS}`,
);

/** Finds what a token is for, and leaves it valid; `undefined` when it is not valid for any of the purposes. */
export async function findToken(db: Queryable, token: string, ...purposes: Purpose[]): Promise<ValidToken | undefined> {
  const parsed = parseToken(token);
  const [found] = parsed ? await FIND(db, { ...parsed, purposes }) : [];
  return found;
}

/**
 * Uses a token up, in the transaction that does what it is for. Of several uses at once, one gets it.
 *
 * @returns `undefined` when it is not valid (any more) for any of the purposes
 */
export async function useToken(db: Queryable, token: string, ...purposes: Purpose[]): Promise<ValidToken | undefined> {
  const parsed = parseToken(token);
  const [used] = parsed ? await USE(db, { ...parsed, purposes }) : [];
  return used;
}

const DROP = statement<never, { accountId: string; purposes: Purpose[] }>(
  'DELETE FROM auth.one_time_tokens WHERE account_id = $accountId AND purpose = ANY ($purposes::text[])',
);

/** Makes the tokens of an account invalid. */
export async function dropTokens(db: Queryable, accountId: string, ...purposes: Purpose[]): Promise<void> {
  await DROP(db, { accountId, purposes });
}

const FIND_PENDING = statement<{ email: string; expiresAt: string }, { accountId: string }>(`
  SELECT email, ${utc('expires_at')} AS "expiresAt" FROM auth.one_time_tokens
  WHERE account_id = $accountId AND purpose = 'verify-email' AND used_at IS NULL AND expires_at > now()`);

/** The address that an account has set and not verified yet, while its link is valid. */
export async function findPendingEmail(
  db: Queryable,
  accountId: string,
): Promise<{ email: string; expiresAt: string } | undefined> {
  const [pending] = await FIND_PENDING(db, { accountId });
  return pending;
}

/** Deletes up to `batch` tokens that have expired; returns how many. */
export async function deleteOldTokens(db: Queryable, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM auth.one_time_tokens WHERE (account_id, purpose) IN (
       SELECT account_id, purpose FROM auth.one_time_tokens WHERE expires_at <= now() ORDER BY expires_at LIMIT $1
     )`,
    [batch],
  );
  return rowCount ?? 0;
}
