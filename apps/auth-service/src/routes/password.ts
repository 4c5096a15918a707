import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { PasswordChange, SignedIn } from '@latchkey/user-schema';
import type { WithConfig } from '../config.js';
import { changePassword } from '../data/sessions.js';
import { findPasswordHash } from '../data/users.js';
import { InvalidCredentialsError } from '../errors.js';
import { checkNewPassword } from '../password-policy.js';
import { problemAnswers } from './problem-answers.js';

export const passwordRoute: FastifyPluginAsyncTypebox<WithConfig> = async (app, { config }) => {
  const schema = {
    tags: ['auth'],
    summary: 'Change the password; every other session ends',
    security: [{ bearer: [] }],
    body: PasswordChange,
    response: { 200: SignedIn, ...problemAnswers(400, 401, 413, 415, 503) },
  };
  const options = { schema, onRequest: app.authenticate, preHandler: app.requireSession };
  app.put('/auth/password', options, async (request, reply) => {
    const { account, body, user } = request;
    const from = await findPasswordHash(app.pg, account.id);
    const { matches } = await app.passwords.verify(body.currentPassword, from);
    if (!from || !matches) throw new InvalidCredentialsError();
    checkNewPassword(body.newPassword, account.username, config.passwordMinLength, '/newPassword');
    const to = await app.passwords.hash(body.newPassword);
    const change = { userId: account.id, sessionId: user.sid, from, to, idleS: config.refreshTokenTtlS };
    const session = await app.pg.transact(client => changePassword(client, change));
    if (!session) throw new InvalidCredentialsError();
    return reply.header('cache-control', 'no-store').send(app.issueTokens(account, session));
  });
};
