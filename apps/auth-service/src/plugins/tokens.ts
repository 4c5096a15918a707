import { randomUUID } from 'node:crypto';
import jwt from '@fastify/jwt';
import type { AccessTokenClaims, Jwks, SignedIn, User } from '@latchkey/user-schema';
import type { onRequestHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import type { WithConfig } from '../config.js';
import type { SessionState } from '../data/sessions.js';
import { findActiveKey, insertActiveKey } from '../data/signing-keys.js';
import { InvalidTokenError, MissingTokenError } from '../errors.js';
import { createRefreshTokens, type RefreshTokens } from '../refresh-token.js';
import { generateSealedKey, openKey } from '../signing-key.js';
import { createTokenCache } from '../token-cache.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Hook that lets only a valid access token pass and sets `request.user` to its claims. No database access. */
    authenticate: onRequestHookHandler;
    /** The public halves of the keys that tokens may be signed with. */
    jwks: Jwks;
    /** Issues the tokens of a session. */
    issueTokens(user: User, session: SessionState): SignedIn;
    refreshTokens: RefreshTokens;
  }
}

declare module '@fastify/jwt' {
  interface FastifyJWT {
    payload: Pick<AccessTokenClaims, 'sub' | 'client_id' | 'jti' | 'sid' | 'id' | 'username'>;
    user: AccessTokenClaims;
  }
}

// RFC 9068 §2.2 requires the client; people sign in with the service itself.
const CLIENT_ID = 'latchkey';
const ALGORITHM = 'ES256';
const BEARER = /^Bearer +(\S+)$/i;
// The last character of a 64-byte signature carries 2 of its bits; with other bits set it would decode alike, and one
// token would have sixteen spellings.
const CANONICAL = /^[\w-]+\.[\w-]+\.[\w-]*[AQgw]$/;
const REQUIRED_CLAIMS: (keyof AccessTokenClaims)[] = [
  'iss',
  'aud',
  'sub',
  'client_id',
  'iat',
  'exp',
  'jti',
  'sid',
  'id',
  'username',
];

/** Signs and verifies access tokens with the key that all replicas share. */
export default fp<WithConfig>(
  async (app, { config }) => {
    let sealed = await findActiveKey(app.pg);
    if (!sealed) {
      await insertActiveKey(app.pg, generateSealedKey(config.authSecrets[0]));
      // Ours, or that of the replica that was first.
      sealed = await findActiveKey(app.pg);
    }
    if (!sealed) throw new Error('The signing key is gone from the database.');
    const key = openKey(sealed, config.authSecrets);

    await app.register(jwt, {
      secret: { private: key.privatePem, public: key.publicPem },
      sign: {
        algorithm: ALGORITHM,
        kid: key.kid,
        header: { alg: ALGORITHM, typ: 'at+jwt' },
        iss: config.publicUrl,
        aud: config.tokenAudience,
        expiresIn: config.accessTokenTtlS,
      },
      verify: {
        algorithms: [ALGORITHM],
        checkTyp: 'at+jwt',
        allowedIss: config.publicUrl,
        allowedAud: config.tokenAudience,
        requiredClaims: REQUIRED_CLAIMS,
      },
    });

    app.decorate('jwks', { keys: [key.publicJwk] });

    const refreshTokens = createRefreshTokens(config.authSecrets);
    app.decorate('refreshTokens', refreshTokens);

    app.decorate('issueTokens', (user, session) => ({
      token: app.jwt.sign({
        sub: user.id,
        client_id: CLIENT_ID,
        jti: randomUUID(),
        sid: session.id,
        id: user.id,
        username: user.username,
      }),
      tokenType: 'Bearer',
      expiresIn: config.accessTokenTtlS,
      refreshToken: refreshTokens.issue(session),
      refreshExpiresIn: session.refreshExpiresIn,
      user,
    }));

    const verify = createTokenCache(authorization => {
      const [, token] = BEARER.exec(authorization) ?? [];
      if (token === undefined || !CANONICAL.test(token)) throw new InvalidTokenError();
      try {
        return app.jwt.verify<AccessTokenClaims>(token);
      } catch (cause) {
        throw new InvalidTokenError({ cause });
      }
    });

    app.decorate('authenticate', (request, _reply, done) => {
      const { authorization } = request.headers;
      if (authorization === undefined) return done(new MissingTokenError());
      try {
        request.user = verify(authorization);
      } catch (error) {
        return done(error as Error);
      }
      done();
    });
  },
  { name: 'tokens', dependencies: ['database'] },
);
