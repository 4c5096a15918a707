import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Credentials, SignedIn } from '@latchkey/user-schema';
import { findCredentials, reasonOf, replacePasswordHash } from '../accounts/stored-accounts.js';
import type { WithConfig } from '../config/settings.js';
import { hashCaller } from '../credentials/password/hash-caller.js';
import { recordEvent } from '../events/audit-events.js';
import { logEvent, originOf } from '../events/record.js';
import { InvalidCredentialsError, OverloadedError } from '../http/errors.js';
import { problemAnswers } from '../http/problem-responses.js';
import { startSession } from '../sessions/start-session.js';

export const signInRoute: FastifyPluginAsyncTypebox<WithConfig> = async (app, { config }) => {
  const schema = {
    tags: ['auth'],
    summary: 'Sign in',
    body: Credentials,
    response: { 200: SignedIn, ...problemAnswers(400, 401, 413, 415, 429, 503) },
  };
  const { preHandler, onSend } = app.throttles.signIn;
  const admitAccount = app.admitHash(({ body }) => (body as Credentials).username);
  const options = { schema, onRequest: app.admitHash(), preHandler: [admitAccount, ...preHandler], onSend };
  app.post('/auth/sign-in', options, async (request, reply) => {
    const { username, password } = request.body;
    const origin = originOf(request);
    const caller = hashCaller(request, reply, username);

    const refuse = async (reason: string, userId?: string): Promise<never> => {
      const subject = { ...(userId !== undefined && { userId }), details: { reason } };
      await recordEvent(app.pg, origin, 'sign_in_failed', subject);
      logEvent(request, 'sign_in_failed', subject);
      throw new InvalidCredentialsError();
    };

    /** Answers `undefined` when the account's hash was replaced meanwhile. */
    const attempt = async () => {
      const found = await findCredentials(app.pg, username);
      // Whoever may not sign in costs the same hash as whoever may, so that nobody can tell them apart by time.
      const { matches, outdated, unknownPepper } = await app.passwords.verify(password, found?.passwordHash, caller);
      if (unknownPepper)
        request.log.error({ secretId: unknownPepper }, 'a password hash needs a secret not in AUTH_SECRETS');
      if (!found?.passwordHash || found.disabled || !matches) return refuse(reasonOf(found), found?.id);

      const { id, createdAt } = found;
      let { passwordHash } = found;
      if (outdated) {
        // Where there is no room for another hash, the next sign-in does it.
        const upgraded = await app.passwords.hash(password, caller).catch(ignoreOverload);
        if (upgraded && !(await replacePasswordHash(app.pg, id, passwordHash, upgraded))) return undefined;
        passwordHash = upgraded ?? passwordHash;
      }
      const session = await startSession(request, { id, passwordHash }, config);
      return session && { user: { id, username: found.username, createdAt }, session };
    };

    // Once more, for those who sign in on two devices when their hash is due for renewal.
    const signedIn = (await attempt()) ?? (await attempt()) ?? (await refuse('changed_meanwhile'));
    const { user, session } = signedIn;
    logEvent(request, 'sign_in', { userId: user.id, sessionId: session.id });
    return reply.send(app.issueTokens(user, session));
  });
};

function ignoreOverload(error: unknown): undefined {
  if (!(error instanceof OverloadedError)) throw error;
}
