import { authGuard } from '@latchkey/auth-client/fastify';
import { createService } from '@latchkey/service-kit/http';
import type { FastifyInstance } from 'fastify';
import type { DestinationStream } from 'pino';
import type { Config } from './config.js';
import { sampleRoutes } from './sample-routes.js';

/** What the app needs of the settings, and in tests the `fetch` of a test issuer. */
export type AppOptions = Pick<Config, 'authClient' | 'authIssuer' | 'authUrl' | 'logLevel' | 'tokenAudience'> &
  Partial<Pick<Config, 'corsOrigins'>> & { fetch?: typeof fetch };

/** Builds the service: plugins, then routes. Does not listen. */
export function buildApp(options: AppOptions, logStream?: DestinationStream): Promise<FastifyInstance> {
  const { authClient, authIssuer, authUrl, corsOrigins = [], fetch, logLevel, tokenAudience } = options;
  return createService({ logLevel, logStream, corsOrigins }, async app => {
    await app.register(authGuard, {
      ...{ issuer: authIssuer, baseUrl: authUrl, audience: tokenAudience },
      ...(authClient && { client: authClient }),
      ...(fetch && { fetch }),
    });
    await app.register(sampleRoutes);
  });
}
