import { authGuard } from '@latchkey/auth-client/fastify';
import { databasePool } from '@latchkey/service-kit/database';
import { createService } from '@latchkey/service-kit/http';
import type { FastifyInstance } from 'fastify';
import type { DestinationStream } from 'pino';
import type { Config } from './config.js';
import { migrator } from './migrator.js';
import { notesRoutes } from './notes-routes.js';
import { profileRoute } from './profile-route.js';

/** Builds the service: plugins, then routes. Migrates the database, does not listen. */
export function buildApp(config: Config, logStream?: DestinationStream): Promise<FastifyInstance> {
  return createService({ logLevel: config.logLevel, logStream }, async app => {
    await app.register(databasePool, { databaseUrl: config.databaseUrl, applicationName: 'notes-service', migrator });
    app.requireForReadiness(() => app.pg.query('SELECT 1'), { ofDatabase: true });
    await app.register(authGuard, {
      issuer: config.authIssuer,
      audience: config.tokenAudience,
      baseUrl: config.authUrl,
      ...(config.authClient && {
        client: config.authClient,
        maxStalenessMs: config.authMaxStalenessS * 1000,
        onStale: config.authOnStale,
        // In development auth-service may have been started without this client.
        onRefusedClient: config.production ? 'reject' : 'warn',
      }),
    });

    await app.register(notesRoutes);
    await app.register(profileRoute, { config });
  });
}
