import type { ServiceCredentials } from '@latchkey/auth-client';
import {
  ConfigError,
  describeDatabaseUrlFault,
  portSetting,
  readEnvironment,
  serviceDefaults,
  serviceSettings,
} from '@latchkey/service-kit';
import { Type } from '@sinclair/typebox';

const Environment = Type.Object({
  ...serviceSettings,
  PORT: portSetting(3001),
  AUTH_URL: Type.Optional(
    Type.String({ pattern: '^https?://', description: 'URL at which this service reaches auth-service' }),
  ),
  AUTH_ISSUER: Type.Optional(Type.String({ description: 'Issuer of the tokens: the PUBLIC_URL of auth-service' })),
  AUTH_CLIENT_ID: Type.Optional(Type.String({ minLength: 1, description: 'Client of this service at auth-service' })),
  AUTH_CLIENT_SECRET: Type.Optional(Type.String({ minLength: 1, description: 'Secret of that client' })),
  AUTH_MAX_STALENESS_S: Type.Integer({
    default: 60,
    minimum: 1,
    maximum: 86_400,
    description: 'Age at which the list of ended sessions is stale, in seconds',
  }),
  AUTH_ON_STALE: Type.Unsafe<'open' | 'closed'>(
    Type.String({
      enum: ['open', 'closed'],
      default: 'open',
      description:
        'What to do when the list of ended sessions is stale: `open` accepts tokens, `closed` responds with 503',
    }),
  ),
});

/** Everything that the service needs to know. */
export type Config = {
  production: boolean;
  host: string;
  port: number;
  shutdownDelayMs: number;
  databaseUrl: string;
  dataDir: string;
  tokenAudience: string;
  logLevel: string;
  authUrl: string;
  authIssuer: string;
  /** Without it, the service does not know which sessions have ended. */
  authClient?: ServiceCredentials;
  authMaxStalenessS: number;
  authOnStale: 'open' | 'closed';
};

/** What the environment says; in development the database may be left open, and with it the client's secret. */
export type Settings = Omit<Config, 'databaseUrl' | 'authClient'> & {
  databaseUrl?: string;
  authClientId: string;
  authClientSecret?: string;
};

/** Options of the plugins that need settings. */
export type WithConfig = { config: Config };

/**
 * Reads and checks the settings.
 *
 * @throws ConfigError that names everything that is wrong at once
 */
export function loadSettings(env: NodeJS.ProcessEnv = process.env): Settings {
  const { settings, complaints } = readEnvironment(Environment, env);
  const production = settings.NODE_ENV === 'production';
  if (production) {
    for (const name of ['DATABASE_URL', 'AUTH_URL', 'AUTH_ISSUER', 'AUTH_CLIENT_ID', 'AUTH_CLIENT_SECRET'] as const) {
      const { description } = Environment.properties[name];
      if (!settings[name]) complaints.push(`${name} is required in production (${description}).`);
    }
  } else if (settings.DATABASE_URL && !settings.AUTH_CLIENT_SECRET) {
    // auth-service makes a client for this service in the embedded database alone.
    complaints.push(
      'AUTH_CLIENT_SECRET is required with a DATABASE_URL. Make the client with: latchkey clients create notes-service --scope revocations:read',
    );
  }
  const urlFault = settings.DATABASE_URL && describeDatabaseUrlFault(settings.DATABASE_URL);
  if (urlFault) complaints.push(`DATABASE_URL ${urlFault}`);
  if (complaints.length > 0) throw new ConfigError(complaints);
  const defaults = serviceDefaults(production);
  const authUrl = settings.AUTH_URL ?? 'http://localhost:3000';
  return {
    production,
    host: settings.HOST ?? defaults.host,
    port: settings.PORT,
    shutdownDelayMs: settings.SHUTDOWN_DELAY_MS ?? defaults.shutdownDelayMs,
    dataDir: settings.DATA_DIR,
    tokenAudience: settings.TOKEN_AUDIENCE,
    logLevel: settings.LOG_LEVEL,
    authUrl,
    authIssuer: settings.AUTH_ISSUER ?? authUrl,
    authClientId: settings.AUTH_CLIENT_ID ?? 'notes-service',
    authMaxStalenessS: settings.AUTH_MAX_STALENESS_S,
    authOnStale: settings.AUTH_ON_STALE,
    ...(settings.DATABASE_URL && { databaseUrl: settings.DATABASE_URL }),
    ...(settings.AUTH_CLIENT_SECRET && { authClientSecret: settings.AUTH_CLIENT_SECRET }),
  };
}
