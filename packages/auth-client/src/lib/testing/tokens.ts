import { randomUUID } from 'node:crypto';
import type { Jwks, SignedIn, User } from '@latchkey/user-schema';
import type { TestSession } from './accounts.js';
import { acrOf } from './factors.js';
import { createTestKey, readToken, signToken, type TestKey } from './signing.js';

/** The tokens of a test issuer, and the keys that sign them. */
export type TestTokens = {
  /** `iss` of the tokens. */
  issuer: string;
  /** Signs an access token of a made-up user, with these claims and header members in place of its own. */
  userToken(claims?: object, header?: object): string;
  signedIn(session: TestSession): SignedIn;
  serviceToken(clientId: string, scope: string): { token: string; expiresIn: number };
  /** Returns the claims of a token; `undefined` when its signature is invalid or it has expired. */
  read(token: string): Record<string, unknown> | undefined;
  jwks(): Jwks;
  /** Signs with a new key from now on. The others are still published, unless they are distrusted. */
  rotateKeys(distrust: boolean): void;
};

// RFC 9068 §2.2 requires the claim. The client at which people sign in is the service itself.
const CLIENT_ID = 'latchkey';
const REFRESH_EXPIRES_IN_S = 30 * 86_400;

export function createTestTokens({
  issuer,
  audience,
  ttlS,
}: {
  issuer: string;
  audience: string;
  ttlS: number;
}): TestTokens {
  // The first one signs, all are published.
  let keys: [TestKey, ...TestKey[]] = [createTestKey()];

  const commonClaims = () => {
    const iat = Math.floor(Date.now() / 1000);
    return { iss: issuer, aud: audience, iat, exp: iat + ttlS, jti: randomUUID() };
  };
  const userToken: TestTokens['userToken'] = (claims = {}, header = {}) => {
    const id = randomUUID();
    const user = { sub: id, client_id: CLIENT_ID, sid: randomUUID(), id, username: 'somebody' };
    const common = commonClaims();
    const signIn = { auth_time: common.iat, amr: ['pwd'], acr: 'aal1' };
    return signToken(keys[0], { ...common, ...user, ...signIn, ...claims }, header);
  };

  const account = ({ id, username }: User) => ({ sub: id, id, username });

  return {
    issuer,
    userToken,
    signedIn({ id: sid, user, authTime, amr, refreshTokens }) {
      return {
        token: userToken({ ...account(user), sid, auth_time: authTime, amr, acr: acrOf(amr) }),
        tokenType: 'Bearer',
        expiresIn: ttlS,
        refreshToken: refreshTokens.at(-1) as string,
        refreshExpiresIn: REFRESH_EXPIRES_IN_S,
        // A copy, because the address may change.
        user: { ...user },
      };
    },
    serviceToken: (clientId, scope) => ({
      token: signToken(keys[0], { ...commonClaims(), sub: clientId, client_id: clientId, scope }),
      expiresIn: ttlS,
    }),
    read: token => readToken(keys, token),
    jwks: () => ({ keys: keys.map(({ jwk }) => jwk) }),
    rotateKeys(distrust) {
      keys = distrust ? [createTestKey()] : [createTestKey(), ...keys];
    },
  };
}
