import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Credentials, SignedIn } from '@latchkey/user-schema';
import { insertSession } from '../data/sessions.js';
import { findCredentials, replacePasswordHash } from '../data/users.js';
import { InvalidCredentialsError } from '../errors.js';
import { problemAnswers } from './problem-answers.js';

export const signInRoute: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['auth'],
    summary: 'Sign in',
    body: Credentials,
    response: { 200: SignedIn, ...problemAnswers(400, 401, 413, 415, 503) },
  };
  app.post('/auth/sign-in', { schema }, async (request, reply) => {
    const { username, password } = request.body;
    const found = await findCredentials(app.pg, username);
    // Whoever may not sign in costs the same hash as whoever may, so that nobody can tell them apart by time.
    const { matches, outdated, unknownPepper } = await app.passwords.verify(password, found?.passwordHash);
    if (unknownPepper)
      request.log.error({ secretId: unknownPepper }, 'a password hash needs a secret not in AUTH_SECRETS');
    if (!found?.passwordHash || found.disabled || !matches) throw new InvalidCredentialsError();

    const { id, createdAt } = found;
    let { passwordHash } = found;
    if (outdated) {
      const upgraded = await app.passwords.hash(password);
      if (await replacePasswordHash(app.pg, id, passwordHash, upgraded)) passwordHash = upgraded;
    }
    const session = await insertSession(app.pg, id, passwordHash, app.newSession(request));
    // Disabled, or another password, while this one was hashed.
    if (!session) throw new InvalidCredentialsError();
    const signedIn = app.issueTokens({ id, username: found.username, createdAt }, session);
    return reply.header('cache-control', 'no-store').send(signedIn);
  });
};
