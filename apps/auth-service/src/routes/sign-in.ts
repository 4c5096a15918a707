import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Credentials, SignedIn } from '@latchkey/user-schema';
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

    const { passwordHash, disabled: _, ...user } = found;
    if (outdated) await replacePasswordHash(app.pg, user.id, passwordHash, await app.passwords.hash(password));
    return reply.header('cache-control', 'no-store').send(app.signIn(user));
  });
};
