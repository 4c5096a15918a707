import { type FastifyInstance, fastify } from 'fastify';
import type { DestinationStream } from 'pino';
import type { Config } from './config.js';
import answerHeaders from './plugins/answer-headers.js';
import changes from './plugins/changes.js';
import database from './plugins/database.js';
import draining from './plugins/draining.js';
import firstClient from './plugins/first-client.js';
import jsonBody from './plugins/json-body.js';
import metrics from './plugins/metrics.js';
import openapi from './plugins/openapi.js';
import passwordPolicy from './plugins/password-policy.js';
import passwords from './plugins/passwords.js';
import problems from './plugins/problems.js';
import revocations from './plugins/revocations.js';
import sessions from './plugins/sessions.js';
import signingKeys from './plugins/signing-keys.js';
import sweep from './plugins/sweep.js';
import throttleStore from './plugins/throttle-store.js';
import throttles from './plugins/throttles.js';
import tokens from './plugins/tokens.js';
import { healthRoutes } from './routes/health.js';
import { meRoute } from './routes/me.js';
import { oauthRoutes } from './routes/oauth.js';
import { passwordRoute } from './routes/password.js';
import { refreshRoute } from './routes/refresh.js';
import { revocationsRoute } from './routes/revocations.js';
import { sessionsRoutes } from './routes/sessions.js';
import { signInRoute } from './routes/sign-in.js';
import { signOutRoute } from './routes/sign-out.js';
import { signUpRoute } from './routes/sign-up.js';
import { verifyRoute } from './routes/verify.js';
import { wellKnownRoutes } from './routes/well-known.js';
import { serverOptions } from './server-options.js';

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
