import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { transact } from '@latchkey/service-kit/database';
import { problemResponses } from '@latchkey/service-kit/http';
import { RecoveryCodes, TotpConfirmation, TotpEnrolment } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { renderSVG } from 'uqr';
import type { FactorSettings } from '../../config/sections/factors.js';
import type { SecretsSettings } from '../../config/sections/secrets.js';
import { logEvents, originOf, recordEvent } from '../../events/recorder.js';
import {
  InsufficientAuthenticationError,
  InvalidSecondFactorError,
  NotFoundError,
  TooManyRequestsError,
} from '../../http/errors.js';
import { AMR, combineAmr } from '../../sessions/factors.js';
import { strengthenSession, weakenSessions } from '../../sessions/renew.js';
import { acrOf } from '../../tokens/claims.js';
import { insufficientAuthentication } from '../../tokens/demand.js';
import { beginFactors } from '../first-factor.js';
import { lockFreshSession, lockSession } from '../lock-session.js';
import { replaceCodes } from '../recovery-codes/stored-codes.js';
import { describeSecret, newSecret } from './code.js';
import { confirmTotp, findPendingStep, removeTotp, resealTotp, startTotp, type TotpStep } from './stored-totp.js';

const BATCH = 100;

/** Authenticator apps (RFC 6238): one an account. */
export const totp: FastifyPluginAsyncTypebox<{ config: FactorSettings & SecretsSettings }> = async (
  app,
  { config },
) => {
  const secrets = config.authSecrets;
  app.cleanHourly(async client => (await resealTotp(client, secrets, BATCH)) === BATCH);

  const common = { tags: ['auth'], security: [{ bearer: [] }] };
  const signedIn = {
    config: { audience: 'browsers' as const },
    onRequest: app.authenticateAny,
    preHandler: [app.requireSession],
  };
  const fresh = { ...signedIn, preHandler: [app.requireSession, app.requireFresh] };

  const start = {
    ...common,
    operationId: 'startTotp',
    summary: 'Make a secret for an authenticator app: it counts when a code of it is confirmed',
    response: { 200: TotpEnrolment, ...problemResponses(InsufficientAuthenticationError) },
  };
  app.post('/auth/totp', { ...fresh, schema: start }, async request => {
    const { account } = request;
    const secret = newSecret();
    await transact(app.pg, async client => {
      await lockFreshSession(client, request);
      await startTotp(client, secrets, account.id, secret);
    });
    const described = describeSecret(secret, config.passkeys.rpName, account.username);
    return { ...described, qrCode: renderSVG(described.uri) };
  });

  const confirm = {
    ...common,
    operationId: 'confirmTotp',
    summary: 'Confirm an authenticator app by a code: from now on, signing in needs one',
    description:
      'It replaces the app that was confirmed before. The recovery codes that the account has had are void. The next refresh of the session has `acr` `aal2`.',
    body: TotpConfirmation,
    response: {
      200: RecoveryCodes,
      ...problemResponses(
        InsufficientAuthenticationError,
        InvalidSecondFactorError,
        NotFoundError,
        TooManyRequestsError,
      ),
    },
  };
  app.post('/auth/totp/confirm', { ...signedIn, schema: confirm }, async (request, reply) => {
    const { account, body, claims } = request;
    const origin = originOf(request, `account:${account.id}`);
    return app.throttles.totp(request, reply, { username: account.id }, async attempt => {
      const found = await findPendingStep(app.pg, secrets, account.id, body.totp);
      if (!found) throw new NotFoundError('authenticator app to confirm: request its secret first');
      if (found.step === undefined) {
        const subject = { userId: account.id, sessionId: claims.sid, details: null };
        logEvents(request, await recordEvent(app.pg, origin, 'totp_confirmation_failed', subject));
        await attempt.failed();
        throw new InvalidSecondFactorError();
      }
      const [codes, events] = await transact(app.pg, async client => {
        const before = await lockSession(client, claims);
        const { amr, highestAcr } = before;
        // The account may have got its first factor after the session made this secret.
        if (highestAcr === 'aal2' && acrOf(amr) !== highestAcr) throw insufficientAuthentication({ acr: highestAcr });
        const recorded = await confirmTotp(client, account.id, found as TotpStep, origin);
        if (!recorded) throw new InvalidSecondFactorError();
        await beginFactors(client, before);
        const session = { accountId: account.id, sessionId: claims.sid };
        await strengthenSession(client, { ...session, amr: combineAmr(amr, AMR.totp) });
        return [await replaceCodes(client, account.id), recorded] as const;
      });
      logEvents(request, events);
      await attempt.succeeded();
      return { recoveryCodes: codes };
    });
  });

  const remove = {
    ...common,
    operationId: 'removeTotp',
    summary: 'Remove the authenticator app',
    description: 'Without a passkey, the recovery codes are void too.',
    response: {
      204: Type.Null({ description: 'The account has no authenticator app' }),
      ...problemResponses(InsufficientAuthenticationError),
    },
  };
  app.delete('/auth/totp', { ...fresh, schema: remove }, async (request, reply) => {
    const { account } = request;
    const events = await transact(app.pg, async client => {
      await lockFreshSession(client, request);
      const removed = await removeTotp(client, account.id, originOf(request, `account:${account.id}`));
      await weakenSessions(client, account.id);
      return removed;
    });
    logEvents(request, events);
    return reply.status(204).send(null);
  });
};
