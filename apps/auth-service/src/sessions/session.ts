import { randomBytes } from 'node:crypto';
import { uuidv7 } from 'uuidv7';
import type { SessionSettings } from '../config/sections/sessions.js';
import type { TokenSettings } from '../config/sections/tokens.js';
import { epoch } from '../database/sql.js';

/** How long things live, in seconds. */
export type Lifetimes = Pick<TokenSettings, 'accessTokenTtlS'> & Omit<SessionSettings, 'sessionsPerAccount'>;

/** A session as its next tokens need it. Times are in seconds since 1970, by the database's clock. */
export type SessionState = {
  id: string;
  /** Part of what its refresh tokens are made of. */
  salt: Buffer;
  generation: number;
  refreshExpiresIn: number;
  issuedAt: number;
  tokenExpiresAt: number;
};

export const newSessionId = uuidv7;
export const newSalt = (): Buffer => randomBytes(16);

/** Whether a session `s` is alive. */
export const IS_LIVE = 's.revoked_at IS NULL AND s.expires_at > now()';

/** When an access token that is issued now expires: by its lifetime, and not after its session. */
export const tokenExpiry = (sessionExpiry = 's.expires_at') =>
  `least(now() + make_interval(secs => $accessTokenTtlS::int), ${sessionExpiry})`;

/** The columns of {@link SessionState}, of a session `s`. */
export const STATE = `s.id, s.generation, s.salt,
  ceil(extract(epoch FROM s.expires_at - now()))::int AS "refreshExpiresIn",
  ${epoch('now()')} AS "issuedAt", ${epoch(tokenExpiry())} AS "tokenExpiresAt"`;
