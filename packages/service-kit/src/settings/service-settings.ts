import { type TInteger, type TOptional, type TString, Type } from '@sinclair/typebox';

/** The settings that every service has, for its schema. */
export const serviceSettings: {
  NODE_ENV: TString;
  HOST: TOptional<TString>;
  DATABASE_URL: TOptional<TString>;
  DATA_DIR: TString;
  TOKEN_AUDIENCE: TString;
  LOG_LEVEL: TString;
  SHUTDOWN_DELAY_MS: TOptional<TInteger>;
} = {
  NODE_ENV: Type.String({
    enum: ['production', 'development', 'test'],
    default: 'development',
    description: 'In `production`, the service does not start with the defaults of development',
  }),
  HOST: Type.Optional(
    Type.String({ description: 'Address to listen on', $comment: '`127.0.0.1`; in production `0.0.0.0`' }),
  ),
  DATABASE_URL: Type.Optional(
    Type.String({
      pattern: '^postgres(ql)?://',
      description: 'URL of the PostgreSQL database; percent-encode the password, or set it in `PGPASSWORD`',
      $comment: 'an embedded PostgreSQL; required in production',
    }),
  ),
  DATA_DIR: Type.String({
    default: '.data',
    description: 'Folder of the embedded PostgreSQL and of the secrets for development',
  }),
  TOKEN_AUDIENCE: Type.String({
    default: 'latchkey',
    pattern: '^[!#-+\\--~]+$',
    maxLength: 256,
    description: 'Audience (`aud`) of the access tokens: one for all services of the installation',
  }),
  LOG_LEVEL: Type.String({
    enum: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
    default: 'info',
    description: 'Lowest level that is logged',
  }),
  SHUTDOWN_DELAY_MS: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 300_000,
      description:
        'How long the service goes on after SIGTERM, in milliseconds, so that gateways stop sending requests first',
      $comment: '`5000` in production, otherwise `0`',
    }),
  ),
};

/** The setting of the port, for a schema. */
export function portSetting(port: number): TInteger {
  return Type.Integer({ default: port, minimum: 0, maximum: 65535, description: 'Port to listen on' });
}

/** The defaults that depend on `NODE_ENV`. */
export function serviceDefaults(production: boolean): { host: string; shutdownDelayMs: number } {
  // In development no gateway has to notice that a service ends.
  return { host: production ? '0.0.0.0' : '127.0.0.1', shutdownDelayMs: production ? 5000 : 0 };
}
