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
    description: '`production` refuses to start on development defaults',
  }),
  HOST: Type.Optional(
    Type.String({ description: 'Address to listen on', $comment: '`127.0.0.1`; in production `0.0.0.0`' }),
  ),
  DATABASE_URL: Type.Optional(
    Type.String({
      pattern: '^postgres(ql)?://',
      description: 'PostgreSQL to use; its password percent-encoded, or in `PGPASSWORD`',
      $comment: 'an embedded PostgreSQL; required in production',
    }),
  ),
  DATA_DIR: Type.String({
    default: '.data',
    description: 'Folder of the embedded database and the development secrets',
  }),
  TOKEN_AUDIENCE: Type.String({ default: 'latchkey', minLength: 1, description: 'Whom the access tokens are for' }),
  LOG_LEVEL: Type.String({
    enum: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
    default: 'info',
    description: 'How much is logged',
  }),
  SHUTDOWN_DELAY_MS: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 300_000,
      description: 'How long it goes on after SIGTERM, so that gateways notice first, in milliseconds',
      $comment: '`5000` in production, otherwise `0`',
    }),
  ),
};

/** The setting of the port, for a schema. */
export function portSetting(port: number): TInteger {
  return Type.Integer({ default: port, minimum: 0, maximum: 65535, description: 'Port to listen on' });
}

/** What holds when nothing is set. */
export function serviceDefaults(production: boolean): { host: string; shutdownDelayMs: number } {
  // On a developer's machine nobody has to notice that a service ends.
  return { host: production ? '0.0.0.0' : '127.0.0.1', shutdownDelayMs: production ? 5000 : 0 };
}
