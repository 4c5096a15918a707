import type { Queryable } from '@latchkey/service-kit/database';
import {
  type AuthenticationDemand,
  meetsDemand,
  type Revocation,
  type SignedIn,
  type User,
} from '@latchkey/user-schema';
import type { FastifyRequest, preHandlerAsyncHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import type { SecretsSettings } from '../config/sections/secrets.js';
import { logEvents, originOf, type RecordedEvent } from '../events/recorder.js';
import { InvalidTokenError, SecondFactorRequiredError } from '../http/errors.js';
import { accessTokenClaims, acrOf } from '../tokens/claims.js';
import { insufficientAuthentication } from '../tokens/demand.js';
import { CHALLENGE_TTL_S, type Challenges, createChallenges, deleteOldChallenges } from './challenges.js';
import { deleteEndedSessions } from './end.js';
import { findNamingStart } from './naming-start.js';
import { refreshRoute } from './refresh-route.js';
import { createRefreshTokens, type RefreshTokens } from './refresh-token.js';
import { findSessionAccount, type SessionAccount, type SessionState } from './session.js';
import { sessionsRoutes } from './sessions-routes.js';
import { signOutRoute } from './sign-out-route.js';
import { type Proof, type SessionLimits, type Started, startSession } from './start.js';

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Hook after `authenticate`: rejects with 401 when the session is not live in the database, and sets `request.account` and
     * `request.session`.
     */
    requireSession: preHandlerAsyncHookHandler;
    /**
     * Hook after `requireSession`: rejects with 401 when the sign-in is older than REAUTHENTICATE_AFTER_S, or its `acr` is not the
     * highest that the account can reach (RFC 9470).
     */
    requireFresh: preHandlerAsyncHookHandler;
    /** Does what the hook `requireFresh` does, for a handler. */
    assertFresh(request: Pick<FastifyRequest, 'claims' | 'session'>): void;
    /** As `assertFresh`, however long ago it was proved. */
    assertHighest(request: Pick<FastifyRequest, 'claims' | 'session'>): void;
    /**
     * Starts a session for a sign-in, and announces it.
     *
     * @param username - as typed, or the account's where none was
     * @returns `undefined` when the account is disabled, or its credentials have changed since they were proved
     * @throws SecondFactorRequiredError with a challenge, when the account has second factors and none was proved
     */
    signIn(db: Queryable, request: FastifyRequest, proof: Proof & { username: string }): Promise<Started | undefined>;
    challenges: Challenges;
    /** Issues the tokens of a session. */
    issueTokens(account: User, session: SessionState): SignedIn;
    /** Passes the result of a committed change of sessions to the revocations, the log and the metrics. */
    announce(request: FastifyRequest, change: { events: RecordedEvent[]; ended?: Revocation[] }): void;
    refreshTokens: RefreshTokens;
  }
  interface FastifyRequest {
    /** Set by `requireSession`. */
    account: User;
    /** Set by `requireSession`: what the account has proved in the session, and can prove. */
    session: Omit<SessionAccount, 'account'>;
  }
}

const BATCH = 1000;
const FIRST_ID = '00000000-0000-0000-0000-000000000000';
const BEFORE_ALL = { accountId: FIRST_ID, sessionId: FIRST_ID };

/** Starts, refreshes, lists and ends sessions. */
export default fp<{ config: SecretsSettings & SessionLimits }>(
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
    app.decorateRequest('session');
    app.decorate('requireSession', async request => {
      const found = await findSessionAccount(app.pg, request.claims);
      if (!found) throw new InvalidTokenError();
      const { account, ...session } = found;
      request.account = account;
      request.session = session;
    });
    const assertMeets = (
      { claims, session }: Pick<FastifyRequest, 'claims' | 'session'>,
      demand: AuthenticationDemand,
    ) => {
      // The factor that the token tells of may be gone since.
      const { acr = 'aal1', ...rest } = claims;
      const proved = acrOf(session.amr) === 'aal2' ? acr : 'aal1';
      if (!meetsDemand({ ...rest, acr: proved }, demand)) throw insufficientAuthentication(demand);
    };
    app.decorate('assertHighest', asking => assertMeets(asking, { acr: asking.session.highestAcr }));
    app.decorate('assertFresh', asking =>
      assertMeets(asking, { acr: asking.session.highestAcr, maxAgeS: config.reauthenticateAfterS }),
    );
    app.decorate('requireFresh', async request => app.assertFresh(request));

    const challenges = createChallenges(config.authSecrets);
    app.decorate('challenges', challenges);
    app.decorate('signIn', async (db, request, { username, ...proof }) => {
      const started = await startSession(db, proof, 'sign_in', config, originOf(request));
      if (started === undefined || 'session' in started) return started;
      logEvents(request, started.events);
      const { accountId, credentialVersion, amr } = proof;
      const challenge = challenges.make('second-factor', { accountId, credentialVersion, amr, username });
      const members = { challenge, methods: started.methods, expiresIn: CHALLENGE_TTL_S };
      throw Object.assign(new SecondFactorRequiredError(), { members });
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

    app.cleanHourly(async client => (await deleteOldChallenges(client, BATCH)) === BATCH);

    await app.register(refreshRoute, { config });
    await app.register(signOutRoute);
    await app.register(sessionsRoutes);
  },
  { name: 'sessions', dependencies: ['revocations', 'events'] },
);
