import { createError } from '@fastify/error';
import { Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import { problemResponses } from './problem-responses.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether the service has been told to end. */
    isDraining(): boolean;
    /** From now on readiness is red, and every response ends its connection, so that none is open when the service closes. */
    startDraining(): void;
    /**
     * Adds a condition of `/readyz`. The check throws the error to respond with. A condition `ofDatabase` is left out when
     * the caller says so: a gateway that left every replica out while the database is away would stop what does not need it.
     */
    requireForReadiness(check: () => unknown, options?: { ofDatabase?: boolean }): void;
  }
}

/** Lets callers go elsewhere before the service ends. */
export const draining: FastifyPluginAsync = fp(
  async app => {
    let draining = false;
    app.decorate('isDraining', () => draining);
    app.decorate('startDraining', () => {
      draining = true;
      app.stopEarlyResponses();
    });
    app.addHook('preClose', async () => app.startDraining());
    app.addHook('onSend', (_request, reply, payload, done) => {
      if (draining) reply.header('connection', 'close');
      done(null, payload);
    });
  },
  { name: 'draining' },
);

const DrainingError = createError('service_unavailable', 'The service is closing.', 503);

const Healthy = Type.Object({ status: Type.Literal('ok') });
const Exclusion = Type.Object(
  { exclude: Type.Optional(Type.Literal('database', { description: 'Leaves the database out' })) },
  { additionalProperties: false },
);

/**
 * Tells orchestrators and gateways how the service is.
 *
 * @returns what registers `/livez` and `/readyz`
 */
export function addHealth(app: FastifyInstance): () => void {
  const conditions: { check: () => unknown; ofDatabase: boolean }[] = [];
  app.decorate('requireForReadiness', (check, { ofDatabase = false } = {}) => {
    conditions.push({ check, ofDatabase });
  });
  app.requireForReadiness(() => {
    if (app.isDraining()) throw new DrainingError();
  });

  const tags = ['operations'];
  const livez = {
    operationId: 'checkLiveness',
    tags,
    summary: 'The process responds',
    response: { 200: Healthy },
  };
  const readyz = {
    operationId: 'checkReadiness',
    tags,
    summary: 'The service is not closing, and what it needs is there',
    querystring: Exclusion,
    response: { 200: Healthy, ...problemResponses() },
  };
  return () => {
    app.get('/livez', { schema: livez, logLevel: 'warn' }, async () => ({ status: 'ok' }));
    app.get<{ Querystring: { exclude?: 'database' } }>(
      '/readyz',
      { schema: readyz, logLevel: 'warn' },
      async request => {
        const isExcluded = request.query.exclude === 'database';
        for (const { check, ofDatabase } of conditions) if (!ofDatabase || !isExcluded) await check();
        return { status: 'ok' };
      },
    );
  };
}
