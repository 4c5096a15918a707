import type { IncomingMessage, ServerResponse } from 'node:http';
import swagger from '@fastify/swagger';
import { describeError, type RequestError, toProblem } from '@latchkey/service-kit/http';
import { type FastifyReply, fastify } from 'fastify';
import type { HttpSettings } from '../../config/sections/http.js';

const LOGO =
  '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><text y="28" fill="#fff" font-family="sans-serif" font-size="24">Latchkey</text></svg>';

/** The page of `/docs`. */
export type Page = { show(request: IncomingMessage, response: ServerResponse): void; close(): Promise<unknown> };

/** Makes the page of `/docs`, an app of its own. */
export async function createPage(document: object, config: Pick<HttpSettings, 'publicUrl'>): Promise<Page> {
  const { default: swaggerUi } = await import('@fastify/swagger-ui');
  const page = fastify();
  const send = (reply: FastifyReply, problem: Parameters<typeof toProblem>[0]) => {
    const requestId = String(reply.raw.getHeader('x-request-id'));
    reply
      .status(problem.status)
      .type('application/problem+json')
      .send(JSON.stringify(toProblem(problem, requestId)));
  };
  page.setNotFoundHandler((_request, reply) => {
    send(reply, { status: 404, code: 'not_found', detail: 'There is nothing here.' });
  });
  page.setErrorHandler((error, _request, reply) => send(reply, describeError(error as RequestError)));
  await page.register(swagger, { mode: 'static', specification: { document: document as never } });
  await page.register(swaggerUi, {
    routePrefix: '/docs',
    logo: { type: 'image/svg+xml', content: LOGO },
    // A page with scripts, styles and images of its own, which calls the service.
    staticCSP: {
      'default-src': "'none'",
      'script-src': "'self'",
      'style-src': "'self'",
      'img-src': "'self' data:",
      'connect-src': `'self' ${new URL(config.publicUrl).origin}`,
      'base-uri': "'none'",
      'form-action': "'none'",
      'frame-ancestors': "'none'",
    },
  });
  await page.ready();
  return { show: page.routing, close: () => page.close() };
}
