import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import { NotReadyError } from '../errors.js';
import { problemAnswers } from './problem-answers.js';

const Healthy = Type.Object({ status: Type.Literal('ok') });

export const healthRoutes: FastifyPluginAsyncTypebox = async app => {
  const tags = ['operations'];

  const livez = { tags, summary: 'The process answers', response: { 200: Healthy } };
  app.get('/livez', { schema: livez }, async () => ({ status: 'ok' as const }));

  const readyz = {
    tags,
    summary: 'The database answers too, and tokens can be signed',
    response: { 200: Healthy, ...problemAnswers(503) },
  };
  app.get('/readyz', { schema: readyz }, async () => {
    await app.pg.query('SELECT 1');
    if (!app.signingKeys.isReady()) throw new NotReadyError();
    return { status: 'ok' as const };
  });
};
