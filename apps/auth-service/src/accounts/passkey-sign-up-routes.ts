import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { transact } from '@latchkey/service-kit/database';
import { problemResponses } from '@latchkey/service-kit/http';
import {
  PasskeyCreationOptions,
  PasskeySignUpOptionsRequest,
  PasskeySignUpRequest,
  SignedIn,
} from '@latchkey/user-schema';
import { uuidv7 } from 'uuidv7';
import type { AccountSettings } from '../config/sections/accounts.js';
import type { MailSettings } from '../config/sections/mail.js';
import { findAccountId } from '../credentials/identifiers.js';
import { creationOptions } from '../credentials/passkeys/options.js';
import { checkRegistration } from '../credentials/passkeys/registration.js';
import type { RelyingParty } from '../credentials/passkeys/relying-party.js';
import { newHandle } from '../credentials/passkeys/user-handle.js';
import { logEvents, originOf, recordEvent } from '../events/recorder.js';
import {
  PasskeyRejectedError,
  PasskeySignUpClosedError,
  SignUpClosedError,
  TooManyRequestsError,
  UsernameTakenError,
} from '../http/errors.js';
import type { SessionLimits } from '../sessions/start.js';
import { signUpWithPasskey } from './passkey-sign-up.js';
import { checkSignUpAddress, mailVerification } from './verification.js';

/** Sign-up with a passkey, without a password. */
export const passkeySignUpRoutes: FastifyPluginAsyncTypebox<{
  config: SessionLimits & AccountSettings & MailSettings;
  relyingParty: RelyingParty;
}> = async (app, { config, relyingParty }) => {
  const assertOpen = () => {
    if (config.signUp === 'closed') throw new SignUpClosedError();
    // An account is made by a link, which a passkey cannot wait for.
    if (config.signUp === 'email') throw new PasskeySignUpClosedError();
  };

  const options = {
    tags: ['auth'],
    operationId: 'createPasskeySignUpOptions',
    summary: 'Options for the passkey of a new account, for `navigator.credentials.create()`; good for 5 minutes',
    description: 'Reserves nothing: whether the username is taken is found by the sign-up.',
    body: PasskeySignUpOptionsRequest,
    response: { 200: PasskeyCreationOptions, ...problemResponses(SignUpClosedError) },
  };
  const audience = 'browsers' as const;
  app.post('/auth/sign-up/passkey/options', { config: { audience }, schema: options }, async ({ body }) => {
    const { username, email } = body;
    assertOpen();
    checkSignUpAddress(app, email);
    const handle = newHandle();
    const about = { accountId: uuidv7(), username, email: email ?? null, handle };
    const challenge = app.challenges.make('passkey-sign-up', about);
    return creationOptions(relyingParty, { challenge, handle, username });
  });

  const signUp = {
    tags: ['auth'],
    operationId: 'signUpWithPasskey',
    summary: 'Sign up with a passkey, without a password',
    body: PasskeySignUpRequest,
    response: {
      201: SignedIn,
      ...problemResponses(PasskeyRejectedError, SignUpClosedError, TooManyRequestsError, UsernameTakenError),
    },
  };
  app.post('/auth/sign-up/passkey', { config: { audience }, schema: signUp }, async (request, reply) => {
    assertOpen();
    const { response, name } = request.body;
    const origin = originOf(request);
    // Costs next to nothing, and there is nothing to guess.
    const registration = await checkRegistration(app, relyingParty, response, { kind: 'passkey-sign-up' });
    const { accountId, username, email } = registration.challenge;
    const signedIn = await app.throttles.signUp(request, reply, { username }, async attempt => {
      const refuse = async (error: Error, reason: string): Promise<never> => {
        logEvents(request, await recordEvent(app.pg, origin, 'sign_up_failed', { details: { reason } }));
        await attempt.failed();
        throw error;
      };
      // Not for a name that is taken: that would spend the mails of somebody's address, and send none.
      const isMailed = email !== null && (await findAccountId(app.pg, username)) === undefined;
      const mayMail = isMailed && (await app.throttles.takeMail('verify', email));
      const added = await transact(app.pg, async client => {
        const result = await signUpWithPasskey(client, { registration, name }, config, origin);
        if (result && mayMail) await mailVerification(app, client, config.appUrl, { accountId, username, email });
        return result;
      });
      if (!added) return refuse(new UsernameTakenError(), 'username_taken');
      app.announce(request, added);
      await attempt.succeeded();
      return app.issueTokens(added.account, added.session);
    });
    return reply.status(201).send(signedIn);
  });
};
