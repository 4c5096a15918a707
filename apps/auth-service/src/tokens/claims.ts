import { randomUUID } from 'node:crypto';
import type { AccessTokenClaims, Acr, ServiceTokenClaims, User } from '@latchkey/user-schema';

/** What an access token needs to know of its session; times are in seconds since 1970, by the database's clock. */
export type TokenSession = { id: string; issuedAt: number; tokenExpiresAt: number; authTime: number; amr: string[] };

/** The client of tokens of users, which RFC 9068 §2.2 requires: people sign in with the service itself. */
export const USERS_CLIENT_ID = 'latchkey';

/** How well methods of authentication (RFC 8176) identify a user (NIST SP 800-63B-4 §2). */
export const acrOf = (amr: readonly string[]): Acr => (amr.includes('mfa') ? 'aal2' : 'aal1');

/** The claims of a user's access token (RFC 9068); the signer adds `iss` and `aud`. */
export function accessTokenClaims(account: User, session: TokenSession): Omit<AccessTokenClaims, 'iss' | 'aud'> {
  return {
    sub: account.id,
    client_id: USERS_CLIENT_ID,
    jti: randomUUID(),
    sid: session.id,
    id: account.id,
    username: account.username,
    // The database's times, so that no replica's clock lets a token outlive its revocation.
    iat: session.issuedAt,
    exp: session.tokenExpiresAt,
    auth_time: session.authTime,
    amr: session.amr,
    acr: acrOf(session.amr),
  };
}

/** The claims of a service's access token. */
export function serviceTokenClaims(
  client: { id: string; now: number },
  scope: string,
  ttlS: number,
): Omit<ServiceTokenClaims, 'iss' | 'aud'> {
  const { id, now: iat } = client;
  return { sub: id, client_id: id, jti: randomUUID(), scope, iat, exp: iat + ttlS };
}
