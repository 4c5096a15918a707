import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { Type } from '@sinclair/typebox';

const Greeting = Type.Object({ message: Type.String() });

/** What signed-in users may request. */
export const sampleRoutes: FastifyPluginAsyncTypebox = async app => {
  const schema = { response: { 200: Greeting, ...problemResponses() } };
  // Without this, pages of CORS_ORIGINS may not call it.
  const config = { audience: 'browsers' as const };
  app.get('/sample/greeting', { config, schema, onRequest: app.authenticate }, async request => {
    return { message: `Hello ${request.user.username}` };
  });
};
