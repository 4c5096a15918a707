import type { ServiceCredentials } from '@latchkey/auth-client';
import {
  ConfigError,
  corsOriginsSetting,
  portSetting,
  readCorsOrigins,
  readEnvironment,
  serviceDefaults,
  serviceSettings,
} from '@latchkey/service-kit';
import { Type } from '@sinclair/typebox';

const { NODE_ENV, HOST, LOG_LEVEL, SHUTDOWN_DELAY_MS, TOKEN_AUDIENCE } = serviceSettings;

const Environment = Type.Object({
  ...{ NODE_ENV, HOST, LOG_LEVEL, SHUTDOWN_DELAY_MS, TOKEN_AUDIENCE },
  PORT: portSetting(0),
  CORS_ORIGINS: corsOriginsSetting,
  AUTH_URL: Type.Optional(
    Type.String({ pattern: '^https?://', description: 'URL at which this service reaches auth-service' }),
  ),
  AUTH_ISSUER: Type.Optional(Type.String({ description: 'Issuer of the tokens: the PUBLIC_URL of auth-service' })),
  AUTH_CLIENT_ID: Type.Optional(Type.String({ minLength: 1, description: 'Client of this service at auth-service' })),
  AUTH_CLIENT_SECRET: Type.Optional(Type.String({ minLength: 1, description: 'Secret of that client' })),
});

/** Everything that the service needs to know. */
export type Config = {
  production: boolean;
  host: string;
  port: number;
  shutdownDelayMs: number;
  logLevel: string;
  /** Whose pages may call the routes for browsers. */
  corsOrigins: string[];
  authUrl: string;
  authIssuer: string;
  tokenAudience: string;
  /** With it, tokens of ended sessions are rejected at once. */
  authClient?: ServiceCredentials;
};

/**
 * Reads and checks the settings.
 *
 * @throws ConfigError that names everything that is wrong at once
 */
export function loadConfig(env: NodeJS.ProcessEnv = process.env): Config {
  const { settings, complaints } = readEnvironment(Environment, env);
  const production = settings.NODE_ENV === 'production';
  const { AUTH_URL, AUTH_ISSUER, AUTH_CLIENT_ID: id, AUTH_CLIENT_SECRET: secret } = settings;
  if (production && !AUTH_URL) complaints.push('AUTH_URL is required in production.');
  if (production && !AUTH_ISSUER) complaints.push('AUTH_ISSUER is required in production.');
  if (!id !== !secret) complaints.push('AUTH_CLIENT_ID and AUTH_CLIENT_SECRET go together.');
  const corsOrigins = readCorsOrigins(settings.CORS_ORIGINS, production, complaint => complaints.push(complaint));
  if (complaints.length > 0) throw new ConfigError(complaints);
  const defaults = serviceDefaults(production);
  const authUrl = AUTH_URL ?? 'http://localhost:3000';
  return {
    production,
    host: settings.HOST ?? defaults.host,
    port: settings.PORT,
    shutdownDelayMs: settings.SHUTDOWN_DELAY_MS ?? defaults.shutdownDelayMs,
    logLevel: settings.LOG_LEVEL,
    corsOrigins,
    authUrl,
    authIssuer: AUTH_ISSUER ?? authUrl,
    tokenAudience: settings.TOKEN_AUDIENCE,
    ...(id && secret && { authClient: { id, secret } }),
  };
}
