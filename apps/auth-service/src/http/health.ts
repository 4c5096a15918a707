import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import { assertWritable } from '../database/sql.js';
import { DatabaseNotReadyError, DrainingError, KeyNotReadyError } from './errors.js';
import { problemAnswers } from './problem-responses.js';

const Healthy = Type.Object({ status: Type.Literal('ok') });
const Exclusion = Type.Object(
  { exclude: Type.Optional(Type.Literal('database', { description: 'Leaves the database out' })) },
  { additionalProperties: false },
);

export const healthRoutes: FastifyPluginAsyncTypebox = async app => {
  const tags = ['operations'];
  // Asked once for all who want to know at the same time, and not through the pool, which requests may use up.
  let asking: Promise<void> | undefined;
  const isWritable = () => {
    asking ??= app.askDatabase(assertWritable).finally(() => {
      asking = undefined;
    });
    return asking;
  };

  const livez = { tags, summary: 'The process answers', response: { 200: Healthy } };
  app.get('/livez', { schema: livez }, async () => ({ status: 'ok' as const }));

  const readyz = {
    tags,
    summary: 'The service is not closing, tokens can be signed, and the database takes writes',
    querystring: Exclusion,
    response: { 200: Healthy, ...problemAnswers(400, 503) },
  };
  app.get('/readyz', { schema: readyz }, async request => {
    if (app.isDraining()) throw new DrainingError();
    // A gateway that left every replica out while the database is away would stop the token checks too.
    if (request.query.exclude !== 'database') {
      await isWritable().catch(cause => {
        throw new DatabaseNotReadyError({ cause });
      });
    }
    if (!app.signingKeys.isReady()) throw new KeyNotReadyError();
    return { status: 'ok' as const };
  });
};
