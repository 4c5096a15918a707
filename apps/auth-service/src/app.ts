import { type FastifyInstance, fastify } from 'fastify';
import type { DestinationStream } from 'pino';
import { meRoute } from './accounts/me-route.js';
import { signUpRoute } from './accounts/sign-up-route.js';
import firstClient from './clients/first-client.js';
import { oauthRoutes } from './clients/oauth-routes.js';
import type { Config } from './config/settings.js';
import { passwordRoute } from './credentials/password/change-route.js';
import passwords from './credentials/password/lane-plugin.js';
import passwordPolicy from './credentials/password/policy-plugin.js';
import changes from './database/changes.js';
import database from './database/pool.js';
import sweep from './database/sweep.js';
import answerHeaders from './http/cors.js';
import draining from './http/draining.js';
import { healthRoutes } from './http/health.js';
import jsonBody from './http/json-body.js';
import metrics from './http/metrics/index.js';
import openapi from './http/openapi.js';
import problems from './http/problems.js';
import { serverOptions } from './http/server-options.js';
import signingKeys from './keys/ring.js';
import { wellKnownRoutes } from './keys/well-known.js';
import revocations from './revocations/feed.js';
import { revocationsRoute } from './revocations/route.js';
import { sessionsRoutes } from './sessions/list-routes.js';
import { refreshRoute } from './sessions/refresh-route.js';
import sessions from './sessions/require-session.js';
import { signOutRoute } from './sessions/sign-out-route.js';
import { signInRoute } from './sign-in/route.js';
import throttles from './throttles/hooks.js';
import throttleStore from './throttles/store-plugin.js';
import tokens from './tokens/guards.js';
import { verifyRoute } from './tokens/verify.js';

/** Builds the service: plugins, then routes. Migrates the database, does not listen. */
export async function buildApp(config: Config, logStream?: DestinationStream): Promise<FastifyInstance> {
  const app = fastify(serverOptions(config, logStream));
  try {
    await wire(app, config);
    return app;
  } catch (error) {
    await app.close();
    throw error;
  }
}

async function wire(app: FastifyInstance, config: Config): Promise<void> {
  await app.register(answerHeaders, { config });
  await app.register(metrics, { config });
  await app.register(draining);
  await app.register(problems);
  await app.register(jsonBody);
  await app.register(openapi, { config });
  await app.register(database, { config });
  await app.register(changes, { config });
  await app.register(signingKeys, { config });
  await app.register(revocations, { config });
  await app.register(tokens, { config });
  await app.register(sessions);
  await app.register(passwords, { config });
  await app.register(passwordPolicy, { config });
  await app.register(throttleStore, { config });
  await app.register(throttles, { config });
  await app.register(firstClient, { config });
  await app.register(sweep, { config });

  await app.register(signUpRoute, { config });
  await app.register(signInRoute, { config });
  await app.register(refreshRoute, { config });
  await app.register(signOutRoute);
  await app.register(meRoute);
  await app.register(sessionsRoutes);
  await app.register(passwordRoute, { config });
  await app.register(verifyRoute);
  await app.register(revocationsRoute);
  await app.register(oauthRoutes, { config });
  await app.register(wellKnownRoutes, { config });
  await app.register(healthRoutes);
}
