import type { Queryable } from '@latchkey/service-kit/database';
import type { AccessTokenClaims, Acr, User } from '@latchkey/user-schema';
import type { SessionSettings } from '../config/sections/sessions.js';
import type { TokenSettings } from '../config/sections/tokens.js';
import { epoch, statement } from '../database/sql.js';
import { ACCOUNT } from '../tokens/account.js';
import { HAS_FACTOR } from './factors.js';

/** How long sessions and tokens live, in seconds. */
export type Lifetimes = Pick<TokenSettings, 'accessTokenTtlS'> &
  Pick<SessionSettings, 'refreshTokenTtlS' | 'sessionMaxAgeS' | 'refreshGraceS'>;

/** What the next tokens of a session are made of. Times are in seconds since 1970, by the database's clock. */
export type SessionState = {
  id: string;
  /** Goes into the MAC of the refresh tokens. */
  salt: Buffer;
  generation: number;
  refreshExpiresIn: number;
  issuedAt: number;
  tokenExpiresAt: number;
  /** When and how (RFC 8176) the account was proved. */
  authTime: number;
  amr: string[];
};

/** Whether a session `s` is live. */
export const IS_LIVE = 's.revoked_at IS NULL AND s.expires_at > now()';

/** When an access token that is issued now expires: at the end of its lifetime, but not after its session. */
export const TOKEN_EXPIRY = 'least(now() + make_interval(secs => $accessTokenTtlS::int), s.expires_at)';

/** The columns of {@link SessionState}, of a session `s`. */
export const STATE = `s.id, s.generation, s.salt,
  ceil(extract(epoch FROM s.expires_at - now()))::int AS "refreshExpiresIn",
  ${epoch('now()')} AS "issuedAt", ${epoch(TOKEN_EXPIRY)} AS "tokenExpiresAt",
  ${epoch('coalesce(s.auth_time, s.created_at)')} AS "authTime", s.amr`;

/** That the session `s` is this one. */
export const IS_SESSION = 's.user_id = $accountId AND s.id = $sessionId';

/** The account of a live session, how the session was proved, and the highest `acr` that the account can reach. */
export type SessionAccount = { account: User; amr: string[]; credentialVersion: number; highestAcr: Acr };

const FIND_ACCOUNT = statement<User & Omit<SessionAccount, 'account'>, { accountId: string; sessionId: string }>(`
  SELECT ${ACCOUNT}, s.amr, u.credential_version AS "credentialVersion",
    CASE WHEN ${HAS_FACTOR} THEN 'aal2' ELSE 'aal1' END AS "highestAcr"
  FROM auth.users u JOIN auth.sessions s ON s.user_id = u.id
  WHERE ${IS_SESSION} AND ${IS_LIVE} AND u.disabled_at IS NULL`);

/** Finds the account of an access token's session, while both are live; `undefined` otherwise. */
export async function findSessionAccount(
  db: Queryable,
  { id: accountId, sid: sessionId }: Pick<AccessTokenClaims, 'id' | 'sid'>,
): Promise<SessionAccount | undefined> {
  const [found] = await FIND_ACCOUNT(db, { accountId, sessionId });
  if (!found) return undefined;
  const { amr, credentialVersion, highestAcr, ...account } = found;
  return { account, amr, credentialVersion, highestAcr };
}
