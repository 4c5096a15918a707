import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { transact } from '@latchkey/service-kit/database';
import { problemResponses } from '@latchkey/service-kit/http';
import { SignedIn, SignUpHeaders, SignUpRequest } from '@latchkey/user-schema';
import type { AccountSettings } from '../config/sections/accounts.js';
import type { MailSettings } from '../config/sections/mail.js';
import { findAccountId } from '../credentials/identifiers.js';
import { hashCaller } from '../credentials/password/hashing-plugin.js';
import { reasonOf } from '../credentials/password/stored-passwords.js';
import { logEvents, originOf, recordEvent } from '../events/recorder.js';
import { empty } from '../http/empty.js';
import {
  IdempotencyKeyReusedError,
  invalidMember,
  PasswordRejectedError,
  SecondFactorRequiredError,
  SignUpClosedError,
  TooManyRequestsError,
  UsernameTakenError,
} from '../http/errors.js';
import { AMR } from '../sessions/factors.js';
import type { SessionLimits } from '../sessions/start.js';
import type { Attempt } from '../throttles/limited.js';
import { hashKey } from './idempotency-key.js';
import { findSignUp, resumeSession, signUp } from './sign-up.js';
import { SIGN_UP_REQUEST } from './sign-up-by-email.js';
import { checkSignUpAddress, mailVerification } from './verification.js';

export const signUpRoute: FastifyPluginAsyncTypebox<{
  config: SessionLimits & AccountSettings & MailSettings;
}> = async (app, { config }) => {
  const schema = {
    tags: ['auth'],
    operationId: 'signUp',
    summary: 'Sign up',
    description:
      'With an `Idempotency-Key` the call may be repeated when its response was lost, for 24 hours: the same username and password are then answered 201 with the same account, and with the same session and refresh token unless that session has been refreshed or has ended, when a new one begins. Another password is answered 422. Another username makes it another key.',
    headers: SignUpHeaders,
    body: SignUpRequest,
    response: {
      201: SignedIn,
      202: empty('With `SIGN_UP=email`: a mail is sent, and its link makes the account'),
      ...problemResponses(
        IdempotencyKeyReusedError,
        PasswordRejectedError,
        SecondFactorRequiredError,
        SignUpClosedError,
        TooManyRequestsError,
        UsernameTakenError,
      ),
    },
  };
  const preHandler = app.admitHash(({ body }) => (body as SignUpRequest).username);
  const options = { config: { audience: 'browsers' as const }, schema, onRequest: app.admitHash(), preHandler };
  app.post('/auth/sign-up', options, async (request, reply) => {
    const { username, password, email } = request.body;
    if (config.signUp === 'closed') throw new SignUpClosedError();
    checkSignUpAddress(app, email);
    const header = request.headers['idempotency-key'];
    const keyHash = header === undefined ? undefined : hashKey(header);
    const origin = originOf(request);
    const caller = hashCaller(request, reply, username);

    const refuse = async (attempt: Attempt, error: Error, reason: string, userId?: string): Promise<never> => {
      logEvents(request, await recordEvent(app.pg, origin, 'sign_up_failed', { userId, details: { reason } }));
      await attempt.failed();
      throw error;
    };
    const findEarlier = async () => keyHash && (await findSignUp(app.pg, username, keyHash));

    /** Responds to a sign-up that was made before. Only the password proves whose it is. */
    const repeat = (found: NonNullable<Awaited<ReturnType<typeof findEarlier>>>) =>
      app.throttles.guess(request, reply, { username }, async attempt => {
        const { id, email, createdAt, passwordHash, credentialVersion, sessionId } = found;
        const refuseReuse = (reason: string) => refuse(attempt, new IdempotencyKeyReusedError(), reason, id);
        const { matches } = await app.passwords.verify(password, passwordHash, caller);
        if (!passwordHash || found.disabled || !matches) return refuseReuse(reasonOf(found));
        const proof = { accountId: id, credentialVersion, amr: AMR.password, username };
        const resumed = await resumeSession(app.pg, { accountId: id, sessionId }, config, origin);
        const session =
          resumed ?? (await app.signIn(app.pg, request, proof)) ?? (await refuseReuse('changed_meanwhile'));
        app.announce(request, session);
        await attempt.succeeded();
        return app.issueTokens({ id, username: found.username, email, createdAt }, session.session);
      });

    const signUpNew = () =>
      app.throttles.signUp(request, reply, { username }, async attempt => {
        await app.checkNewPassword(request, attempt, { password, of: { username }, pointer: '/password' });
        const passwordHash = await app.passwords.hash(password, caller);
        const account = { username, passwordHash, keyHash };
        // Not for a name that is taken: that would spend the mails of somebody's address, and send none.
        const isMailed = email !== undefined && (await findAccountId(app.pg, username)) === undefined;
        const mayMail = isMailed && (await app.throttles.takeMail('verify', email));
        const added = await transact(app.pg, async client => {
          const result = await signUp(client, account, config, origin);
          if (result && mayMail) {
            const about = { accountId: result.account.id, username, email };
            await mailVerification(app, client, config.appUrl, about);
          }
          return result;
        });
        if (added) {
          app.announce(request, added);
          await attempt.succeeded();
          return app.issueTokens(added.account, added.session);
        }
        // The same caller may have taken the name meanwhile.
        const earlier = await findEarlier();
        if (!earlier) return refuse(attempt, new UsernameTakenError(), 'username_taken');
        await attempt.withdraw();
        return repeat(earlier);
      });

    /** Does the same whether an account has the address or the name, or not: the mail tells. */
    const signUpByEmail = (email: string) =>
      app.throttles.signUp(request, reply, { username }, async attempt => {
        await app.checkNewPassword(request, attempt, { password, of: { username }, pointer: '/password' });
        const passwordHash = await app.passwords.hash(password, caller);
        if (await app.throttles.takeMail('verify', email)) {
          await app.mail.request(app.pg, { request: SIGN_UP_REQUEST, to: email, values: { username, passwordHash } });
        }
        await attempt.failed();
      });
    if (config.signUp === 'email') {
      if (email === undefined)
        throw invalidMember('/email', 'required', 'This is required: a link in a mail makes the account.');
      await signUpByEmail(email);
      return reply.status(202).send(undefined);
    }

    const earlier = await findEarlier();
    return reply.status(201).send(await (earlier ? repeat(earlier) : signUpNew()));
  });
};
