import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Credentials, SignedIn } from '@latchkey/user-schema';
import { uuidv7 } from 'uuidv7';
import { logEvent, originOf } from '../audit.js';
import type { WithConfig } from '../config.js';
import { insertUserWithSession, newSession } from '../data/sessions.js';
import { UsernameTakenError } from '../errors.js';
import { untilGone } from '../hang-up.js';
import { problemAnswers } from './problem-answers.js';

export const signUpRoute: FastifyPluginAsyncTypebox<WithConfig> = async (app, { config }) => {
  const schema = {
    tags: ['auth'],
    summary: 'Sign up',
    body: Credentials,
    response: { 201: SignedIn, ...problemAnswers(400, 409, 413, 415, 429, 503) },
  };
  app.post('/auth/sign-up', { schema, onRequest: app.admitHash, ...app.throttles.signUp }, async (request, reply) => {
    const { username, password } = request.body;
    await app.checkNewPassword(request, password, username, '/password');
    const passwordHash = await app.passwords.hash(password, untilGone(reply));
    const id = uuidv7();
    const user = { id, username, passwordHash };
    const session = await insertUserWithSession(app.pg, user, newSession(), config, originOf(request));
    if (!session) {
      logEvent(request, 'sign_up_failed', { details: { reason: 'username_taken' } });
      throw new UsernameTakenError();
    }
    logEvent(request, 'sign_up', { userId: id, sessionId: session.id });
    const signedIn = app.issueTokens({ id, username, createdAt: session.createdAt }, session);
    return reply.status(201).header('cache-control', 'no-store').send(signedIn);
  });
};
