import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Queryable } from '@latchkey/service-kit/database';
import { transact } from '@latchkey/service-kit/database';
import { problemResponses } from '@latchkey/service-kit/http';
import { SignedIn, StepUpRequest } from '@latchkey/user-schema';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { SecretsSettings } from '../config/sections/secrets.js';
import { lockSession } from '../credentials/lock-session.js';
import { hashCaller } from '../credentials/password/hashing-plugin.js';
import { findPasswordOf, reasonOf } from '../credentials/password/stored-passwords.js';
import { logEvents, originOf, recordEvent } from '../events/recorder.js';
import {
  InsufficientAuthenticationError,
  InvalidCredentialsError,
  InvalidSecondFactorError,
  TooManyRequestsError,
} from '../http/errors.js';
import { AMR, combineAmr } from '../sessions/factors.js';
import { stepUpSession } from '../sessions/renew.js';
import type { SessionAccount, SessionState } from '../sessions/session.js';
import type { SessionLimits } from '../sessions/start.js';
import { acrOf } from '../tokens/claims.js';
import { insufficientAuthentication } from '../tokens/demand.js';
import { createProveFactor } from './second-factor.js';

export const stepUpRoute: FastifyPluginAsyncTypebox<{ config: SecretsSettings & SessionLimits }> = async (
  app,
  { config },
) => {
  const proveFactor = createProveFactor(app, config);

  const stepUp = async (
    client: Queryable,
    request: FastifyRequest,
    { credentialVersion }: SessionAccount,
    amr: string[],
  ) => {
    const { claims } = request;
    const about = { accountId: claims.id, sessionId: claims.sid };
    const session = await stepUpSession(client, { ...about, credentialVersion, amr }, config);
    const origin = originOf(request, `account:${claims.id}`);
    const subject = { userId: claims.id, sessionId: claims.sid, details: { amr } };
    // The session is locked with its account, and so it has not ended.
    return { session: session as SessionState, events: await recordEvent(client, origin, 'step_up', subject) };
  };

  const byPassword = (request: FastifyRequest, reply: FastifyReply, password: string) => {
    const { account, claims } = request;
    const subject = { username: account.username, sessionId: claims.sid };
    return app.throttles.guess(request, reply, subject, async attempt => {
      const caller = hashCaller(request, reply, account.username);
      const found = await findPasswordOf(app.pg, account.id);
      const { matches } = await app.passwords.verify(password, found?.passwordHash, caller);
      const refuse = async (reason: string): Promise<never> => {
        const origin = originOf(request, `account:${account.id}`);
        const subject = { userId: account.id, sessionId: claims.sid, details: { reason } };
        logEvents(request, await recordEvent(app.pg, origin, 'step_up_failed', subject));
        await attempt.failed();
        throw new InvalidCredentialsError();
      };
      if (!found || !matches) return refuse(reasonOf(found));
      const done = await transact(app.pg, async client => {
        const current = await lockSession(client, claims);
        if (current.credentialVersion !== found.credentialVersion) return undefined;
        assertPasswordDoes(current);
        // Without a factor any more, the session is from now on one of the password.
        const before = current.highestAcr === 'aal1' ? [] : current.amr;
        return stepUp(client, request, current, combineAmr(before, AMR.password));
      });
      if (!done) return refuse('changed_meanwhile');
      await attempt.succeeded();
      return done;
    });
  };

  const schema = {
    tags: ['auth'],
    operationId: 'stepUp',
    summary: 'Prove again who is signed in, in the same session',
    description:
      'The tokens have a new `auth_time`, and `acr` `aal2` when the proof is a second factor or a passkey. The refresh token before is good for some seconds more, as after a refresh. A password does not do for a session that has `aal2`.',
    security: [{ bearer: [] }],
    body: StepUpRequest,
    response: {
      200: SignedIn,
      ...problemResponses(
        InsufficientAuthenticationError,
        InvalidCredentialsError,
        InvalidSecondFactorError,
        TooManyRequestsError,
      ),
    },
  };
  const admitPassword = app.admitHash(({ claims }) => claims.username);
  const options = {
    config: { audience: 'browsers' as const },
    schema,
    onRequest: app.authenticateAny,
    preHandler: [
      app.requireSession,
      // Other proofs cost no hash.
      function admit(this: typeof app, request: FastifyRequest, reply: FastifyReply, done: () => void) {
        if ('password' in (request.body as StepUpRequest)) return admitPassword.call(this, request, reply, done);
        done();
      },
    ],
  };
  app.post('/auth/step-up', options, async (request, reply) => {
    const { account, body, claims, session: current } = request;
    const about = {
      ...{ accountId: account.id, username: account.username, challengeId: claims.sid },
      sessionId: claims.sid,
      failure: 'step_up_failed' as const,
      passkeyPurpose: { kind: 'passkey-step-up' as const, accountId: account.id, sessionId: claims.sid },
    };
    const prove = () => {
      if (!('password' in body)) {
        return proveFactor(request, reply, about, body, async (client, proved) => {
          const current = await lockSession(client, claims);
          return stepUp(client, request, current, combineAmr(current.amr, proved));
        });
      }
      // Before the hash. What has changed meanwhile is found when the session is locked.
      assertPasswordDoes(current);
      return byPassword(request, reply, body.password);
    };
    const { session, events } = await prove();
    app.announce(request, { events });
    return reply.send(app.issueTokens(account, session));
  });
};

/** A password would make the proof of a second factor look younger than it is. */
function assertPasswordDoes({ amr, highestAcr }: Pick<SessionAccount, 'amr' | 'highestAcr'>): void {
  if (highestAcr === 'aal2' && acrOf(amr) === 'aal2') throw insufficientAuthentication({ acr: 'aal2' });
}
