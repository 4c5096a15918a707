import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { PasswordChange, SignedIn } from '@latchkey/user-schema';
import { findPasswordHash } from '../../accounts/stored-accounts.js';
import type { WithConfig } from '../../config/settings.js';
import { transact } from '../../database/sql.js';
import { recordEvent } from '../../events/audit-events.js';
import { logEvent, originOf } from '../../events/record.js';
import { InvalidCredentialsError } from '../../http/errors.js';
import { problemAnswers } from '../../http/problem-responses.js';
import { changePassword, newSalt } from '../../sessions/stored-sessions.js';
import { hashCaller } from './hash-caller.js';

export const passwordRoute: FastifyPluginAsyncTypebox<WithConfig> = async (app, { config }) => {
  const schema = {
    tags: ['auth'],
    summary: 'Change the password; every other session ends',
    security: [{ bearer: [] }],
    body: PasswordChange,
    response: { 200: SignedIn, ...problemAnswers(400, 401, 413, 415, 429, 503) },
  };
  const { preHandler, onSend } = app.throttles.passwordChange;
  const options = {
    schema,
    onRequest: [app.authenticate, app.admitHash(({ user }) => user.username)],
    preHandler: [app.requireSession, ...preHandler],
    onSend,
  };
  app.put('/auth/password', options, async (request, reply) => {
    const { account, body, user } = request;
    const origin = originOf(request);
    const subject = { userId: account.id, sessionId: user.sid };
    const from = await findPasswordHash(app.pg, account.id);
    const caller = hashCaller(request, reply, account.username);
    const { matches } = await app.passwords.verify(body.currentPassword, from, caller);
    if (!from || !matches) {
      const failed = { ...subject, details: { reason: from ? 'wrong_password' : 'no_password' } };
      await recordEvent(app.pg, origin, 'password_change_failed', failed);
      logEvent(request, 'password_change_failed', failed);
      throw new InvalidCredentialsError();
    }
    await app.checkNewPassword(request, body.newPassword, account.username, '/newPassword');
    const to = await app.passwords.hash(body.newPassword, caller);
    const change = { ...subject, from, to, salt: newSalt() };
    const { session, ended } = await transact(app.pg, async client => {
      const changed = await changePassword(client, change, config, origin);
      // Whatever was done of it is undone.
      if (!changed) throw new InvalidCredentialsError();
      return changed;
    });
    app.revocations.add(ended);
    logEvent(request, 'password_changed', subject);
    return reply.send(app.issueTokens(account, session));
  });
};
