import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { User } from '@latchkey/user-schema';
import { findEnabledUser } from '../data/users.js';
import { InvalidTokenError } from '../errors.js';
import { problemAnswers } from './problem-answers.js';

export const meRoute: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['auth'],
    summary: 'Who is signed in',
    security: [{ bearer: [] }],
    response: { 200: User, ...problemAnswers(401, 503) },
  };
  app.get('/auth/me', { schema, onRequest: app.authenticate }, async (request, reply) => {
    const user = await findEnabledUser(app.pg, request.user.sub);
    if (!user) throw new InvalidTokenError();
    return reply.header('cache-control', 'no-store').send(user);
  });
};
