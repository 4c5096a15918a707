import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { REVOCATIONS_SCOPE } from '@latchkey/user-schema';
import fp from 'fastify-plugin';
import type { WithConfig } from '../config.js';
import { VERSION } from '../version.js';

/** Describes the routes: `/openapi.json`, and `/docs` for people. */
export default fp<WithConfig>(
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
      refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json['$id'] ?? `schema-${i}`) },
    });
    await app.register(swaggerUi, {
      routePrefix: '/docs',
      logo: { type: 'image/svg+xml', content: '' },
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
    let document: Buffer | undefined;
    app.get('/openapi.json', { schema: { hide: true } }, (_request, reply) => {
      // Made once, and shared by all answers: it is large.
      document ??= Buffer.from(JSON.stringify(app.swagger()));
      reply.type('application/json; charset=utf-8').send(document);
    });
  },
  { name: 'openapi' },
);
