import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { problemResponses } from '@latchkey/service-kit/http';
import { Type } from '@sinclair/typebox';

const Greeting = Type.Object({ message: Type.String() });

/** What signed-in users may request. */
export const sampleRoutes: FastifyPluginAsyncTypebox = async app => {
  const schema = { response: { 200: Greeting, ...problemResponses() } };
  app.get('/sample/greeting', { schema, onRequest: app.authenticate }, async request => {
    return { message: `Hello ${request.user.username}` };
  });
};
