import type { IncomingMessage, ServerResponse } from 'node:http';
import swagger from '@fastify/swagger';
import { toProblem } from '@latchkey/service-kit/http';
import { REVOCATIONS_SCOPE } from '@latchkey/user-schema';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import fp from 'fastify-plugin';
import type { HttpSettings } from '../config/sections/http.js';
import { VERSION } from '../config/version.js';

const LOGO =
  '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><text y="28" fill="#fff" font-family="sans-serif" font-size="24">Latchkey</text></svg>';

/** Describes the routes: `/openapi.json`, and `/docs` for people. */
export default fp<{ config: HttpSettings }>(
  async (app, { config }) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Latchkey',
          description: 'Signs people up and in, and issues the JWTs that other services verify.',
          version: VERSION,
          license: { name: 'MIT', identifier: 'MIT' },
        },
        servers: [{ url: config.publicUrl }],
        tags: [
          { name: 'auth', description: 'Accounts and tokens' },
          { name: 'gateway', description: 'What gateways and other services verify with' },
          { name: 'services', description: 'What services call with credentials of their own' },
          { name: 'operations', description: 'Health' },
        ],
        components: {
          securitySchemes: {
            bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'Access token of a user' },
            client: { type: 'http', scheme: 'basic', description: 'Id and secret of a client' },
            service: {
              type: 'oauth2',
              description: 'Access token of a service',
              flows: {
                clientCredentials: {
                  tokenUrl: `${config.publicUrl}/oauth/token`,
                  scopes: { [REVOCATIONS_SCOPE]: 'Read which sessions have ended' },
                },
              },
            },
          },
        },
      },
      transformObject: document => ('openapiObject' in document ? markOptionalBodies(document.openapiObject) : {}),
      refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json['$id'] ?? `schema-${i}`) },
    });
    // For people, who hardly ever ask: it is loaded when somebody does.
    let page: Promise<Page> | undefined;
    const showPage = async (request: FastifyRequest, reply: FastifyReply) => {
      page ??= createPage(app, config).catch(error => {
        // The next request tries again.
        page = undefined;
        throw error;
      });
      const { show } = await page;
      reply.hijack();
      for (const [name, value] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, value as string);
      if (app.isDraining()) reply.raw.setHeader('connection', 'close');
      show(request.raw, reply.raw);
    };
    app.get('/docs', { schema: { hide: true } }, showPage);
    app.get('/docs/*', { schema: { hide: true } }, showPage);
    app.addHook('onClose', async () => {
      const shown = await page?.catch(() => undefined);
      await shown?.close();
    });

    let document: Buffer | undefined;
    app.get('/openapi.json', { schema: { hide: true } }, (_request, reply) => {
      // Made once, and shared by all responses: it is large.
      document ??= Buffer.from(JSON.stringify(app.swagger()));
      reply.type('application/json; charset=utf-8').send(document);
    });
  },
  { name: 'openapi' },
);

type Page = { show(request: IncomingMessage, response: ServerResponse): void; close(): Promise<unknown> };

/** Makes the page of `/docs`, an app of its own. */
async function createPage(app: FastifyInstance, config: HttpSettings): Promise<Page> {
  const { default: swaggerUi } = await import('@fastify/swagger-ui');
  const page = fastify();
  page.setNotFoundHandler((_request, reply) => {
    const requestId = String(reply.raw.getHeader('x-request-id'));
    const problem = { status: 404, code: 'not_found', detail: 'There is nothing here.' } as const;
    reply
      .status(404)
      .type('application/problem+json')
      .send(JSON.stringify(toProblem(problem, requestId)));
  });
  await page.register(swagger, { mode: 'static', specification: { document: app.swagger() as never } });
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

type Operation = { requestBody?: { required?: boolean }; 'x-optional-body'?: true };

/** @fastify/swagger takes every body for required; a route whose body may be left out says so with `x-optional-body`. */
function markOptionalBodies<T extends { paths?: object }>(document: T): T {
  for (const path of Object.values(document.paths ?? {}) as Record<string, Operation>[]) {
    for (const operation of Object.values(path)) {
      if (operation['x-optional-body'] && operation.requestBody) operation.requestBody.required = false;
      delete operation['x-optional-body'];
    }
  }
  return document;
}
