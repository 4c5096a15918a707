import type { Revocation, SignedIn, User } from '@latchkey/user-schema';
import type { preHandlerAsyncHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import type { SecretsSettings } from '../config/sections/secrets.js';
import { logEvents, type RecordedEvent } from '../events/recorder.js';
import { InvalidTokenError } from '../http/errors.js';
import { accessTokenClaims } from '../tokens/claims.js';
import { deleteEndedSessions } from './end.js';
import { refreshRoute } from './refresh-route.js';
import { createRefreshTokens, type RefreshTokens } from './refresh-token.js';
import { findSessionAccount, type Lifetimes, type SessionState } from './session.js';
import { sessionsRoutes } from './sessions-routes.js';
import { signOutRoute } from './sign-out-route.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Hook after `authenticate`: rejects with 401 when the session is not live in the database, and sets `request.account`. */
    requireSession: preHandlerAsyncHookHandler;
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

/** Refreshes, lists and ends sessions. The ways to sign in start them, by `startSession`. */
export default fp<{ config: SecretsSettings & Lifetimes }>(
  async (app, { config }) => {
    const refreshTokens = createRefreshTokens(config.authSecrets);
    app.decorate('refreshTokens', refreshTokens);
    app.decorate('issueTokens', (account, session) => ({
      token: app.signingKeys.sign(accessTokenClaims(account, session)),
      tokenType: 'Bearer',
      expiresIn: session.tokenExpiresAt - session.issuedAt,
      refreshToken: refreshTokens.issue(session),
      refreshExpiresIn: session.refreshExpiresIn,
      user: account,
    }));

    app.decorateRequest('account');
    app.decorate('requireSession', async request => {
      const account = await findSessionAccount(app.pg, request.claims.sid);
      if (!account) throw new InvalidTokenError();
      request.account = account;
    });
    app.decorate('announce', (request, { events, ended }) => {
      if (ended?.length) app.revocations.add(ended);
      logEvents(request, events);
    });

    let after = FIRST_ID;
    app.cleanHourly(async client => {
      const last = await deleteEndedSessions(client, after, BATCH);
      after = last ?? FIRST_ID;
      return last !== undefined;
    });

    await app.register(refreshRoute, { config });
    await app.register(signOutRoute);
    await app.register(sessionsRoutes);
  },
  { name: 'sessions', dependencies: ['revocations', 'events'] },
);
