import type { Introspection } from '@latchkey/user-schema';
import type { FastifyInstance } from 'fastify';
import type { HttpSettings } from '../config/sections/http.js';
import { type Claims, isUsers } from '../keys/jwt.js';
import { findRefreshGrant, findSessionOfToken } from '../sessions/refresh.js';
import { findSessionAccount } from '../sessions/session.js';
import { findClient } from './stored-clients.js';

const INACTIVE: Introspection = { active: false };

/** Inspects tokens of every kind that this service issues, by their signature and by the database. */
export function createTokenInspector(app: FastifyInstance, config: Pick<HttpSettings, 'publicUrl'>) {
  const verify = (token: string): Claims | undefined => {
    try {
      return app.signingKeys.verify(token);
    } catch {
      return undefined;
    }
  };

  return {
    /** Describes a token, as introspection responds with it. */
    async introspect(token: string): Promise<Introspection> {
      const presented = app.refreshTokens.parse(token);
      if (presented) {
        const grant = await findRefreshGrant(app.pg, presented, { refreshGraceS: app.refreshGraceS() });
        if (!grant) return INACTIVE;
        const { id: sub, username, issuedAt: iat, expiresAt: exp } = grant;
        const about = { sub, username, sid: presented.sessionId, iat, exp, iss: config.publicUrl };
        return { active: true, token_type: 'refresh_token', ...about };
      }
      const claims = verify(token);
      if (!claims) return INACTIVE;
      const isAlive = isUsers(claims)
        ? (await findSessionAccount(app.pg, claims)) !== undefined
        : (await findClient(app.pg, claims.sub))?.disabled === false;
      return isAlive ? { active: true, token_type: 'Bearer', ...claims } : INACTIVE;
    },

    /** Finds the session that a genuine token belongs to, `service` when it is a service's. */
    async findSession(token: string): Promise<{ accountId: string; sessionId: string } | 'service' | undefined> {
      const presented = app.refreshTokens.parse(token);
      if (presented) return findSessionOfToken(app.pg, presented);
      const claims = verify(token);
      if (!claims) return undefined;
      return isUsers(claims) ? { accountId: claims.id, sessionId: claims.sid } : 'service';
    },
  };
}
