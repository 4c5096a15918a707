import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Credentials, SignedIn, SignUpHeaders } from '@latchkey/user-schema';
import { uuidv7 } from 'uuidv7';
import type { WithConfig } from '../config/settings.js';
import { hashCaller } from '../credentials/password/hash-caller.js';
import { recordEvent } from '../events/audit-events.js';
import { logEvent, originOf } from '../events/record.js';
import { IdempotencyKeyReusedError, UsernameTakenError } from '../http/errors.js';
import { problemAnswers } from '../http/problem-responses.js';
import { startSession } from '../sessions/start-session.js';
import { insertUserWithSession, newSession } from '../sessions/stored-sessions.js';
import { hashKey } from './idempotency-key.js';
import { findSignUp, resumeSession } from './sign-up-keys.js';
import { reasonOf } from './stored-accounts.js';

export const signUpRoute: FastifyPluginAsyncTypebox<WithConfig> = async (app, { config }) => {
  const schema = {
    tags: ['auth'],
    summary: 'Sign up',
    description:
      'With an `Idempotency-Key` the call may be sent again when its answer was lost, for 24 hours: the same username and password are then answered 201 with the same account, and with the same session and refresh token unless that session has been refreshed or has ended, when a new one begins. Another password is answered 422. Another username makes it another key.',
    headers: SignUpHeaders,
    body: Credentials,
    response: { 201: SignedIn, ...problemAnswers(400, 409, 413, 415, 422, 429, 503) },
  };
  const { spend, spendGuess, onSend } = app.throttles.signUp;
  const preHandler = app.admitHash(({ body }) => (body as Credentials).username);
  app.post('/auth/sign-up', { schema, onRequest: app.admitHash(), preHandler, onSend }, async (request, reply) => {
    const { username, password } = request.body;
    const header = request.headers['idempotency-key'];
    const keyHash = header === undefined ? undefined : hashKey(header);
    const origin = originOf(request);
    const caller = hashCaller(request, reply, username);

    const refuse = async (error: Error, reason: string, userId?: string): Promise<never> => {
      const subject = { ...(userId !== undefined && { userId }), details: { reason } };
      await recordEvent(app.pg, origin, 'sign_up_failed', subject);
      logEvent(request, 'sign_up_failed', subject);
      throw error;
    };

    /** Answers `undefined` when the username is taken. */
    const signUp = async () => {
      await spend(request, reply);
      await app.checkNewPassword(request, password, username, '/password');
      const passwordHash = await app.passwords.hash(password, caller);
      const user = { id: uuidv7(), username, passwordHash, keyHash };
      const session = await insertUserWithSession(app.pg, user, newSession(), config, origin);
      if (!session) return undefined;
      logEvent(request, 'sign_up', { userId: user.id, sessionId: session.id });
      return app.issueTokens({ id: user.id, username, createdAt: session.createdAt }, session);
    };

    /** Answers a sign-up that was made before; `undefined` when there was none. Only the password proves whose it is. */
    const signUpAgain = async () => {
      const found = keyHash && (await findSignUp(app.pg, username, keyHash));
      if (!found) return undefined;
      await spendGuess(request, reply);
      const { id, createdAt, passwordHash, sessionId } = found;
      const { matches } = await app.passwords.verify(password, passwordHash, caller);
      if (!passwordHash || found.disabled || !matches) {
        return refuse(new IdempotencyKeyReusedError(), reasonOf(found), id);
      }
      const resumed = await resumeSession(app.pg, sessionId, config, origin);
      const session =
        resumed ??
        (await startSession(request, { id, passwordHash }, config)) ??
        (await refuse(new IdempotencyKeyReusedError(), 'changed_meanwhile', id));
      logEvent(request, resumed ? 'sign_up_repeated' : 'sign_in', { userId: id, sessionId: session.id });
      return app.issueTokens({ id, username: found.username, createdAt }, session);
    };

    const signedIn =
      (await signUpAgain()) ??
      (await signUp()) ??
      // Whoever took the name meanwhile may have been the same caller.
      (await signUpAgain()) ??
      (await refuse(new UsernameTakenError(), 'username_taken'));
    return reply.status(201).send(signedIn);
  });
};
