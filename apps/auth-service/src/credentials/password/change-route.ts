import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { transact } from '@latchkey/service-kit/database';
import { problemResponses } from '@latchkey/service-kit/http';
import { PasswordChange, SignedIn } from '@latchkey/user-schema';
import { logEvents, originOf, recordEvent } from '../../events/recorder.js';
import {
  InsufficientAuthenticationError,
  InvalidCredentialsError,
  invalidMember,
  PasswordRejectedError,
  TooManyRequestsError,
} from '../../http/errors.js';
import type { Lifetimes } from '../../sessions/session.js';
import { changePassword } from './change.js';
import { hashCaller } from './hashing-plugin.js';
import { findPasswordOf, hashValues } from './stored-passwords.js';

export const changeRoute: FastifyPluginAsyncTypebox<{ config: Lifetimes }> = async (app, { config }) => {
  const schema = {
    tags: ['auth'],
    operationId: 'changePassword',
    summary: 'Change the password; every other session ends',
    description:
      'An account without a password, which signs in with a passkey, sets its first one without `currentPassword`, if it has signed in not long ago.',
    security: [{ bearer: [] }],
    body: PasswordChange,
    response: {
      200: SignedIn,
      ...problemResponses(
        InsufficientAuthenticationError,
        InvalidCredentialsError,
        PasswordRejectedError,
        TooManyRequestsError,
      ),
    },
  };
  const options = {
    config: { audience: 'browsers' as const },
    schema,
    onRequest: [app.authenticate, app.admitHash(({ claims }) => claims.username)],
    preHandler: app.requireSession,
  };
  app.put('/auth/password', options, async (request, reply) => {
    const { account, body, claims } = request;
    // A password alone does not change what proves an account that has a second factor.
    app.assertHighest(request);
    const about = { accountId: account.id, sessionId: claims.sid };
    const origin = originOf(request, `account:${account.id}`);
    const caller = hashCaller(request, reply, account.username);

    const subject = { username: account.username, sessionId: claims.sid };
    const signedIn = await app.throttles.guess(request, reply, subject, async attempt => {
      const found = await findPasswordOf(app.pg, account.id);
      if (body.currentPassword === undefined) {
        if (found?.passwordHash)
          throw invalidMember('/currentPassword', 'required', 'This is required: the account has a password.');
        app.assertFresh(request);
      }
      const isProved =
        body.currentPassword === undefined ||
        (await app.passwords.verify(body.currentPassword, found?.passwordHash, caller)).matches;
      if (!found || !isProved) {
        const reason = found?.passwordHash ? 'wrong_password' : 'no_password';
        const subject = { userId: account.id, sessionId: claims.sid, details: { reason } };
        logEvents(request, await recordEvent(app.pg, origin, 'password_change_failed', subject));
        await attempt.failed();
        throw new InvalidCredentialsError();
      }
      await app.checkNewPassword(request, attempt, {
        password: body.newPassword,
        of: account,
        pointer: '/newPassword',
      });
      const hash = hashValues(await app.passwords.hash(body.newPassword, caller));
      const change = { ...about, credentialVersion: found.credentialVersion, ...hash };
      const changed = await transact(app.pg, async client => {
        const result = await changePassword(client, change, config, origin);
        if (!result) throw new InvalidCredentialsError();
        return result;
      }).catch(async error => {
        if (error instanceof InvalidCredentialsError) await attempt.failed();
        throw error;
      });
      app.announce(request, changed);
      await attempt.succeeded();
      return app.issueTokens(account, changed.session);
    });
    return reply.send(signedIn);
  });
};
