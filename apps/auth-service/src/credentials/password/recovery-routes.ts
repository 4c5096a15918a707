import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { inTransaction, transact } from '@latchkey/service-kit/database';
import { problemResponses } from '@latchkey/service-kit/http';
import { ForgotPasswordRequest, ResetPasswordRequest } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import type { MailSettings } from '../../config/sections/mail.js';
import { originOf, recordEvent, SERVICE_ORIGIN } from '../../events/recorder.js';
import { empty } from '../../http/empty.js';
import { InvalidOneTimeTokenError, PasswordRejectedError, TooManyRequestsError } from '../../http/errors.js';
import { findByAddress, lockAccount } from '../addresses.js';
import { findToken } from '../one-time-tokens/stored-tokens.js';
import { hashCaller } from './hashing-plugin.js';
import { resetPassword } from './reset.js';
import { makeResetLink } from './reset-link.js';
import { findPasswordOf, hashValues } from './stored-passwords.js';

const RESET_REQUEST = 'password-reset-request';

export const recoveryRoutes: FastifyPluginAsyncTypebox<{ config: MailSettings }> = async (app, { config }) => {
  const common = { tags: ['auth'] };
  const audience = 'browsers' as const;

  // Whether an account has the address is found when the mail is about to be sent: the request does the same for every address.
  app.mail.prepare(RESET_REQUEST, (db, { to }) =>
    inTransaction(db, async () => {
      const found = await findByAddress(db, to);
      const account = found && (await lockAccount(db, found.accountId));
      // It may have another address by the time that it is locked.
      if (!account?.email || account.isDisabled || account.email !== found?.email) return undefined;
      const { accountId, username, email } = account;
      const values = { username, ...(await makeResetLink(db, config.appUrl, accountId)) };
      await recordEvent(db, SERVICE_ORIGIN, 'password_reset_requested', { userId: accountId, details: null });
      return { template: 'reset-password' as const, to: email, values };
    }),
  );

  const forgot = {
    ...common,
    operationId: 'requestPasswordReset',
    summary: 'Ask for a link that resets a forgotten password',
    description: 'The response is the same whether an account has the address or not.',
    body: ForgotPasswordRequest,
    response: {
      202: empty('A link is mailed when an account has verified the address'),
      ...problemResponses(TooManyRequestsError),
    },
  };
  if (app.mail.isAvailable) {
    app.post('/auth/password/forgot', { config: { audience }, schema: forgot }, async (request, reply) => {
      const { email } = request.body;
      await app.throttles.forgotten(request, reply, { username: email }, async attempt => {
        if (await app.throttles.takeMail('reset', email)) {
          await app.mail.request(app.pg, { request: RESET_REQUEST, to: email, values: {} });
        }
        await attempt.failed();
      });
      return reply.status(202).send(undefined);
    });
  }

  const reset = {
    ...common,
    operationId: 'resetPassword',
    summary: 'Set a new password by the token of a link; every session ends',
    body: ResetPasswordRequest,
    response: {
      204: Type.Null({ description: 'The password is changed; nobody is signed in' }),
      ...problemResponses(InvalidOneTimeTokenError, PasswordRejectedError, TooManyRequestsError),
    },
  };
  const options = { config: { audience }, schema: reset, onRequest: app.admitHash() };
  app.post('/auth/password/reset', options, async (request, reply) => {
    const { token, newPassword } = request.body;
    await app.throttles.link(request, reply, { username: '' }, async attempt => {
      const refuse = async (): Promise<never> => {
        await attempt.failed();
        throw new InvalidOneTimeTokenError();
      };
      const found = await findToken(app.pg, token, 'reset-password');
      const account = found && (await findPasswordOf(app.pg, found.accountId));
      if (!account || account.disabled) return refuse();
      const { id, username } = account;
      await app.checkNewPassword(request, attempt, {
        password: newPassword,
        of: { username },
        pointer: '/newPassword',
      });
      const hash = hashValues(await app.passwords.hash(newPassword, hashCaller(request, reply, username)));
      const origin = originOf(request, `account:${id}`);
      const done = await transact(app.pg, async client => {
        const ended = await resetPassword(client, { token, ...hash }, origin);
        if (!ended) throw new InvalidOneTimeTokenError();
        return ended;
      }).catch(error => (error instanceof InvalidOneTimeTokenError ? refuse() : Promise.reject(error)));
      app.announce(request, done);
      await attempt.withdraw();
    });
    return reply.status(204).send(null);
  });
};
