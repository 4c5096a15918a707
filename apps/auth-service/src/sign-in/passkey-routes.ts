import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { PasskeyOptionsRequest, PasskeyRequestOptions, PasskeySignInRequest, SignedIn } from '@latchkey/user-schema';
import { requestOptions } from '../credentials/passkeys/options.js';
import type { RelyingParty } from '../credentials/passkeys/relying-party.js';
import { findPasskeys } from '../credentials/passkeys/stored-passkeys.js';
import { logEvents, originOf, recordEvent } from '../events/recorder.js';
import { InvalidChallengeError, InvalidPasskeyError, NotFoundError, TooManyRequestsError } from '../http/errors.js';

/** Sign-in with a passkey alone, and the options for each use of a passkey. */
export const passkeyRoutes: FastifyPluginAsyncTypebox<{ relyingParty: RelyingParty }> = async (
  app,
  { relyingParty },
) => {
  const { rpId } = relyingParty;
  const config = { audience: 'browsers' as const };
  const summary = 'Options for the use of a passkey, for `navigator.credentials.get()`; good for 5 minutes';

  /** Options for the passkeys of an account. */
  const optionsOf = async (accountId: string, challenge: string) => {
    const { usable } = await findPasskeys(app.pg, { accountId, rpId });
    if (usable.length === 0) throw new NotFoundError('passkey of this domain');
    return requestOptions(relyingParty, challenge, usable);
  };

  const options = {
    ...{ operationId: 'createPasskeySignInOptions', tags: ['auth'], summary, body: PasskeyOptionsRequest },
    description: 'With the `challenge` of a sign-in that waits for a second factor, of the passkeys of that account.',
    response: { 200: PasskeyRequestOptions, ...problemResponses(InvalidChallengeError, NotFoundError) },
  };
  app.post('/auth/sign-in/passkey/options', { config, schema: options }, async ({ body }) => {
    if (body.challenge === undefined) {
      return requestOptions(relyingParty, app.challenges.make('passkey-sign-in', {}));
    }
    const due = app.challenges.open('second-factor', body.challenge);
    if (!due) throw new InvalidChallengeError();
    const { accountId, id: of } = due;
    return optionsOf(accountId, app.challenges.make('passkey-second-factor', { accountId, of }));
  });

  const stepUp = {
    ...{ operationId: 'createPasskeyStepUpOptions', tags: ['auth'], summary, security: [{ bearer: [] }] },
    description: 'For `POST /auth/step-up`, of the passkeys of the account.',
    response: { 200: PasskeyRequestOptions, ...problemResponses(NotFoundError) },
  };
  const signedIn = { config, onRequest: app.authenticateAny, preHandler: app.requireSession };
  app.post('/auth/step-up/passkey/options', { ...signedIn, schema: stepUp }, async ({ account, claims }) => {
    const about = { accountId: account.id, sessionId: claims.sid };
    return optionsOf(account.id, app.challenges.make('passkey-step-up', about));
  });

  const signIn = {
    tags: ['auth'],
    operationId: 'signInWithPasskey',
    summary: 'Sign in with a passkey, without a username',
    body: PasskeySignInRequest,
    response: { 200: SignedIn, ...problemResponses(InvalidPasskeyError, TooManyRequestsError) },
  };
  app.post('/auth/sign-in/passkey', { config, schema: signIn }, async (request, reply) => {
    const signedIn = await app.throttles.passkey(request, reply, { username: '' }, async attempt => {
      const refuse = async (reason: string, userId?: string): Promise<never> => {
        const event = await recordEvent(app.pg, originOf(request), 'sign_in_failed', { userId, details: { reason } });
        logEvents(request, event);
        await attempt.failed();
        throw new InvalidPasskeyError();
      };
      const checked = await app.passkeys.check(request.body.response, { kind: 'passkey-sign-in' });
      if (!checked) return refuse('wrong_passkey');
      const { account, accountId, amr, credentialVersion, useInSignIn: use } = checked;
      const proof = { accountId, credentialVersion, amr, username: account.username, use };
      const started = await app.throttles.passkeyUse(request, reply, { username: accountId }, async passkeyUse => {
        const started = (await app.signIn(app.pg, request, proof)) ?? (await refuse('used_passkey', accountId));
        await passkeyUse.failed();
        return started;
      });
      app.announce(request, started);
      await attempt.succeeded();
      return app.issueTokens(account, started.session);
    });
    return reply.send(signedIn);
  });
};
