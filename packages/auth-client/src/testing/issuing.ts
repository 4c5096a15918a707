import { randomUUID } from 'node:crypto';
import type { Jwks, SignedIn } from '@latchkey/user-schema';
import type { TestSession } from './accounts.js';
import { createTestKey, readToken, signToken, type TestKey } from './signing.js';

/** The tokens of a test issuer, and the keys that sign them. */
export type Issuing = {
  /** Signs a plausible user's token, but for what is said otherwise. */
  token(claims?: object, header?: object): string;
  signedIn(session: TestSession): SignedIn;
  serviceToken(clientId: string, scope: string): { token: string; expiresIn: number };
  /** The claims of a token that is genuine and has not expired. */
  read(token: string): Record<string, unknown> | undefined;
  jwks(): Jwks;
  /** Signs with a new key from now on; the others are still published, unless they are distrusted. */
  rotate(distrust: boolean): void;
};

// RFC 9068 §2.2 requires the client; people sign in with the service itself.
const CLIENT_ID = 'latchkey';
const REFRESH_EXPIRES_IN_S = 30 * 86_400;

export function createIssuing({ issuer, audience, ttlS }: { issuer: string; audience: string; ttlS: number }): Issuing {
  // The first one signs, all are published.
  let keys: [TestKey, ...TestKey[]] = [createTestKey()];

  const common = () => {
    const iat = Math.floor(Date.now() / 1000);
    return { iss: issuer, aud: audience, iat, exp: iat + ttlS, jti: randomUUID() };
  };
  const token: Issuing['token'] = (claims = {}, header = {}) => {
    const id = randomUUID();
    const user = { sub: id, client_id: CLIENT_ID, sid: randomUUID(), id, username: 'somebody' };
    return signToken(keys[0], { ...common(), ...user, ...claims }, header);
  };

  return {
    token,
    signedIn({ id: sid, user, refreshTokens }) {
      return {
        token: token({ sub: user.id, sid, id: user.id, username: user.username }),
        tokenType: 'Bearer',
        expiresIn: ttlS,
        refreshToken: refreshTokens.at(-1) as string,
        refreshExpiresIn: REFRESH_EXPIRES_IN_S,
        user,
      };
    },
    serviceToken: (clientId, scope) => ({
      token: signToken(keys[0], { ...common(), sub: clientId, client_id: clientId, scope }),
      expiresIn: ttlS,
    }),
    read: text => readToken(keys, text),
    jwks: () => ({ keys: keys.map(({ jwk }) => jwk) }),
    rotate(distrust) {
      keys = distrust ? [createTestKey()] : [createTestKey(), ...keys];
    },
  };
}
