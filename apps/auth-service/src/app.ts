import { createService } from '@latchkey/service-kit/http';
import type { FastifyInstance } from 'fastify';
import type { DestinationStream } from 'pino';
import accounts from './accounts/index.js';
import clients from './clients/index.js';
import type { Config } from './config/settings.js';
import factors from './credentials/factors.js';
import password from './credentials/password/index.js';
import database from './database/index.js';
import events from './events/index.js';
import metrics from './http/metrics/index.js';
import openapi from './http/openapi/index.js';
import keys from './keys/index.js';
import mail from './mail/index.js';
import revocations from './revocations/index.js';
import sessions from './sessions/index.js';
import signIn from './sign-in/index.js';
import throttles from './throttles/index.js';
import tokens from './tokens/index.js';

/** Builds the service: each capability is a plugin. Migrates the database, does not listen. */
export function buildApp(config: Config, logStream?: DestinationStream): Promise<FastifyInstance> {
  return createService({ ...config, logStream }, async app => {
    await app.register(metrics, { config });
    await app.register(openapi, { config });
    await app.register(database, { config });
    await app.register(events, { config });
    await app.register(keys, { config });
    await app.register(tokens, { config });
    await app.register(revocations);
    await app.register(sessions, { config });
    await app.register(throttles, { config });
    await app.register(mail, { config });
    await app.register(password, { config });
    await app.register(factors, { config });
    await app.register(accounts, { config });
    await app.register(signIn, { config });
    await app.register(clients, { config });
  });
}
