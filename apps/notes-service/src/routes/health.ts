import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Problem } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { DrainingError } from '../errors.js';

const Healthy = Type.Object({ status: Type.Literal('ok') });

export const healthRoutes: FastifyPluginAsyncTypebox = async app => {
  const livez = { response: { 200: Healthy } };
  app.get('/livez', { schema: livez }, async () => ({ status: 'ok' as const }));

  const readyz = { response: { 200: Healthy, 503: Problem } };
  app.get('/readyz', { schema: readyz }, async () => {
    if (app.isDraining()) throw new DrainingError();
    await app.pg.query('SELECT 1');
    return { status: 'ok' as const };
  });
};
