import type { Revocation, SignedIn, User } from '@latchkey/user-schema';
import type { onRequestHookHandler, preHandlerAsyncHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import type { SecretsSettings } from '../config/sections/secrets.js';
import type { SessionSettings } from '../config/sections/sessions.js';
import { logEvents, type RecordedEvent } from '../events/recorder.js';
import { InsufficientAuthenticationError, InvalidTokenError } from '../http/errors.js';
import { ACR, accessTokenClaims } from '../tokens/claims.js';
import { deleteEndedSessions } from './end.js';
import { findNamingStart } from './naming-start.js';
import { refreshRoute } from './refresh-route.js';
import { createRefreshTokens, type RefreshTokens } from './refresh-token.js';
import { findSessionAccount, type Lifetimes, type SessionState } from './session.js';
import { sessionsRoutes } from './sessions-routes.js';
import { signOutRoute } from './sign-out-route.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Hook after `authenticate`: rejects with 401 when the session is not live in the database, and sets `request.account`. */
    requireSession: preHandlerAsyncHookHandler;
    /** Hook after `authenticate`: rejects with 401 when the sign-in is older than REAUTHENTICATE_AFTER_S (RFC 9470). */
    requireFresh: onRequestHookHandler;
    /** Issues the tokens of a session. */
    issueTokens(account: User, session: SessionState): SignedIn;
    /** Passes the result of a committed change of sessions to the revocations, the log and the metrics. */
    announce(request: FastifyRequest, change: { events: RecordedEvent[]; ended?: Revocation[] }): void;
    refreshTokens: RefreshTokens;
  }
  interface FastifyRequest {
    /** Set by `requireSession`. */
    account: User;
  }
}

const BATCH = 1000;
const FIRST_ID = '00000000-0000-0000-0000-000000000000';
const BEFORE_ALL = { accountId: FIRST_ID, sessionId: FIRST_ID };

/** Refreshes, lists and ends sessions. The ways to sign in start them, by `startSession`. */
export default fp<{ config: SecretsSettings & SessionSettings & Lifetimes }>(
  async (app, { config }) => {
    const namedFrom = await findNamingStart(app.pg);
    const refreshTokens = createRefreshTokens(config.authSecrets, () => Date.now() >= namedFrom);
    app.decorate('refreshTokens', refreshTokens);
    app.decorate('issueTokens', (account, session) => ({
      token: app.signingKeys.sign(accessTokenClaims(account, session)),
      tokenType: 'Bearer',
      expiresIn: session.tokenExpiresAt - session.issuedAt,
      refreshToken: refreshTokens.issue(account.id, session),
      refreshExpiresIn: session.refreshExpiresIn,
      user: account,
    }));

    app.decorateRequest('account');
    app.decorate('requireSession', async request => {
      const account = await findSessionAccount(app.pg, request.claims);
      if (!account) throw new InvalidTokenError();
      request.account = account;
    });
    app.decorate('requireFresh', ({ claims }, _reply, done) => {
      const ageS = Date.now() / 1000 - (claims.auth_time ?? 0);
      done(ageS > config.reauthenticateAfterS ? insufficientAuthentication(config.reauthenticateAfterS) : undefined);
    });
    app.decorate('announce', (request, { events, ended }) => {
      if (ended?.length) app.revocations.add(ended);
      logEvents(request, events);
    });

    let after = BEFORE_ALL;
    app.cleanHourly(async client => {
      const last = await deleteEndedSessions(client, after, BATCH);
      after = last ?? BEFORE_ALL;
      return last !== undefined;
    });

    await app.register(refreshRoute, { config });
    await app.register(signOutRoute);
    await app.register(sessionsRoutes);
  },
  { name: 'sessions', dependencies: ['revocations', 'events'] },
);

function insufficientAuthentication(maxAgeS: number): Error {
  const challenge = `Bearer error="insufficient_user_authentication", acr_values="${ACR}", max_age=${maxAgeS}`;
  return Object.assign(new InsufficientAuthenticationError(maxAgeS), { headers: { 'www-authenticate': challenge } });
}
