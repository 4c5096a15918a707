import swagger from '@fastify/swagger';
import { REVOCATIONS_SCOPE } from '@latchkey/user-schema';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { HttpSettings } from '../../config/sections/http.js';
import type { PasswordSettings } from '../../config/sections/passwords.js';
import { VERSION } from '../../config/version.js';
import type { Route, RouteSchema } from './operation.js';
import type { Page } from './page.js';

/** Describes the routes: `/openapi.json`, and `/docs` for people. */
export default fp<{ config: HttpSettings & Pick<PasswordSettings, 'passwordMinLength'> }>(
  async (app, { config }) => {
    const routes = new Map<string, Route>();
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
      // The contract has `const`, and its schemas are found by what is in them.
      convertConstToEnum: false,
      // What a route throws is described with the document, from the schema as the route has it.
      transform: ({ schema, url, route: { method, config } }) => {
        const { response = {}, ...rest } = (schema ?? {}) as RouteSchema;
        const hasOptionalBody = config?.optionalBody === true;
        if (rest.operationId !== undefined)
          routes.set(rest.operationId, { schema: { response, ...rest }, method, hasOptionalBody });
        const { '4xx': _refusals, '5xx': _faults, ...successes } = response;
        return { schema: { security: [], ...rest, response: successes } as never, url };
      },
      refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json['$id'] ?? `schema-${i}`) },
    });

    let document: Promise<object> | undefined;
    /** Most services are never asked for it. */
    const describe = () => {
      document ??= import('./document.js').then(({ completeDocument }) =>
        completeDocument(app.swagger() as never, routes, config),
      );
      return document;
    };
    app.decorate('describeApi', describe);

    let page: Promise<Page> | undefined;
    const showPage = async (request: FastifyRequest, reply: FastifyReply) => {
      page ??= import('./page.js')
        .then(async ({ createPage }) => createPage(await describe(), config))
        .catch(error => {
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

    let written: Promise<Buffer> | undefined;
    app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => {
      // Made once, and shared by all responses: it is large.
      written ??= describe().then(made => Buffer.from(JSON.stringify(made)));
      return reply.type('application/json; charset=utf-8').send(await written);
    });
  },
  { name: 'openapi' },
);

declare module 'fastify' {
  interface FastifyInstance {
    /** The OpenAPI document of the service. */
    describeApi(): Promise<object>;
  }
}
