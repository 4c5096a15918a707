import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import fp from 'fastify-plugin';
import { DrainingError } from './errors.js';
import { problemAnswers } from './problem-responses.js';

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Adds a condition of `/readyz`. The check throws the error to answer with. A condition `ofDatabase` is left out when
     * the caller says so: a gateway that left every replica out while the database is away would stop the token checks too.
     */
    requireForReadiness(check: () => void | Promise<void>, options?: { ofDatabase?: boolean }): void;
  }
}

const Healthy = Type.Object({ status: Type.Literal('ok') });
const Exclusion = Type.Object(
  { exclude: Type.Optional(Type.Literal('database', { description: 'Leaves the database out' })) },
  { additionalProperties: false },
);

/** Tells orchestrators and gateways how the service is: `/livez` and `/readyz`. */
export default fp(
  async app => {
    const conditions: { check: () => void | Promise<void>; ofDatabase: boolean }[] = [];
    app.decorate('requireForReadiness', (check, { ofDatabase = false } = {}) => {
      conditions.push({ check, ofDatabase });
    });
    app.requireForReadiness(() => {
      if (app.isDraining()) throw new DrainingError();
    });

    await app.register(routes(conditions));
  },
  { name: 'health', dependencies: ['draining'] },
);

function routes(conditions: { check: () => void | Promise<void>; ofDatabase: boolean }[]): FastifyPluginAsyncTypebox {
  return async app => {
    const tags = ['operations'];
    const livez = { tags, summary: 'The process answers', response: { 200: Healthy } };
    app.get('/livez', { schema: livez }, async () => ({ status: 'ok' as const }));

    const readyz = {
      tags,
      summary: 'The service is not closing, tokens can be signed, and the database takes writes',
      querystring: Exclusion,
      response: { 200: Healthy, ...problemAnswers(400, 503) },
    };
    app.get('/readyz', { schema: readyz }, async request => {
      const isExcluded = request.query.exclude === 'database';
      for (const { check, ofDatabase } of conditions) if (!ofDatabase || !isExcluded) await check();
      return { status: 'ok' as const };
    });
  };
}
