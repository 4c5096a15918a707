import {
  ConfigError,
  defaultShutdownDelayMs,
  describeDatabaseUrlFault,
  isCidr,
  readEnvironment,
  serviceSettings,
} from '@latchkey/service-kit';
import { SIGNING_ALGORITHMS, type SigningAlgorithm } from '@latchkey/user-schema';
import { type Static, Type } from '@sinclair/typebox';
import { judgeOrigin } from './cors-origin.js';
import { parseSecrets, type Secrets } from './secrets.js';

/** The longest life that an access token may be given, in seconds. */
export const MAX_ACCESS_TOKEN_TTL_S = 86_400;

const failures = (value: number, description: string) =>
  Type.Integer({ default: value, minimum: 1, maximum: 1_000_000, description });
const durationS = (value: number, description: string) =>
  Type.Integer({ default: value, minimum: 1, maximum: 30 * 86_400, description });

/** The settings as environment variables. */
export const Environment = Type.Object({
  ...serviceSettings,
  PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65535, description: 'Port to listen on' }),
  METRICS_PORT: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 65535, description: 'Port of /metrics, for Prometheus; none by default' }),
  ),
  MIGRATE_ON_START: Type.Boolean({
    default: true,
    description: '`false` waits until `latchkey migrate` has brought the schema up to date',
  }),
  PUBLIC_URL: Type.Optional(
    Type.String({
      pattern: '^https?://[^?#]+$',
      description: 'Where clients reach the service; the issuer of its tokens',
    }),
  ),
  AUTH_SECRETS: Type.Optional(
    Type.String({ description: 'Secrets as `id:base64,…`, at least 32 bytes each; the first is the current one' }),
  ),
  BCRYPT_COST: Type.Integer({ default: 12, minimum: 4, maximum: 20, description: 'Cost of new password hashes' }),
  HASH_WORKERS: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 64,
      description: 'How many passwords are hashed at once; one a core by default',
    }),
  ),
  HASH_MAX_WAIT_MS: Type.Integer({
    default: 1000,
    minimum: 0,
    // Whoever waits must be answered before a service that closes is ended.
    maximum: 8000,
    description:
      'How long a hash may have to wait for its turn; beyond that the answer is 503 at once, in milliseconds',
  }),
  PASSWORD_MIN_LENGTH: Type.Integer({ default: 8, minimum: 1, maximum: 256, description: 'In characters' }),
  PASSWORD_BREACH_URL: Type.Optional(
    Type.String({
      pattern: '^https?://[^?#]+$',
      description: 'List of breached passwords to ask (the range protocol of Have I Been Pwned); not asked by default',
    }),
  ),
  PASSWORD_BREACH_TIMEOUT_MS: Type.Integer({
    default: 1000,
    minimum: 1,
    maximum: 10_000,
    description: 'How long that list may take, in milliseconds; beyond that the password is accepted',
  }),
  ACCESS_TOKEN_TTL_S: Type.Integer({
    default: 600,
    minimum: 1,
    maximum: MAX_ACCESS_TOKEN_TTL_S,
    description: 'Lifetime of an access token, in seconds',
  }),
  REFRESH_TOKEN_TTL_S: Type.Integer({
    default: 30 * 86_400,
    minimum: 1,
    maximum: 10 * 365 * 86_400,
    description: 'How long a session lives without a refresh, in seconds',
  }),
  SESSION_MAX_AGE_S: Type.Integer({
    default: 180 * 86_400,
    minimum: 1,
    maximum: 10 * 365 * 86_400,
    description: 'How long a session lives at most, in seconds',
  }),
  SESSIONS_PER_ACCOUNT: Type.Integer({
    default: 100,
    minimum: 1,
    maximum: 10_000,
    description: 'How many sessions an account may have; beyond that a sign-in ends the oldest',
  }),
  REFRESH_GRACE_S: Type.Integer({
    default: 10,
    minimum: 0,
    maximum: 300,
    description: 'How long a used refresh token still gives the same successor, in seconds',
  }),
  TOKEN_ALGORITHM: Type.Unsafe<SigningAlgorithm>(
    Type.String({
      enum: [...SIGNING_ALGORITHMS],
      default: 'ES256',
      description: 'How new signing keys sign: `ES256`, `EdDSA` or `RS256`',
    }),
  ),
  AUDIT_RETENTION_DAYS: Type.Integer({
    default: 90,
    minimum: 0,
    maximum: 36_500,
    description: 'How long audit events are kept, in days; 0 for ever',
  }),
  REDIS_URL: Type.Optional(
    Type.String({ pattern: '^rediss?://', description: 'Redis or Valkey that keeps the throttles, not PostgreSQL' }),
  ),
  THROTTLE_ENABLED: Type.Boolean({ default: true, description: '`false` switches the throttles off, for benchmarks' }),
  THROTTLE_ACCOUNT_FAILURES: Type.Integer({
    default: 20,
    minimum: 1,
    // NIST SP 800-63B-4 §3.2.2.
    maximum: 100,
    description: 'Failed sign-ins to an account, from anywhere, until it is closed to unknown addresses',
  }),
  THROTTLE_ACCOUNT_WAIT_S: durationS(3600, 'For how long it is closed the first time, in seconds'),
  THROTTLE_PAIR_FAILURES: failures(
    10,
    'Failed sign-ins to an account from one address until it is closed to that address',
  ),
  THROTTLE_PAIR_WAIT_S: durationS(900, 'For how long it is closed the first time, in seconds'),
  THROTTLE_MAX_WAIT_S: durationS(86_400, 'For how long they are closed at most: each time twice as long, in seconds'),
  THROTTLE_ADDRESS_FAILURES: failures(100, 'Failed sign-ins from an address, to any account'),
  THROTTLE_ADDRESS_WINDOW_S: durationS(3600, 'Within how long, in seconds'),
  THROTTLE_SIGN_UPS: failures(30, 'Sign-ups from an address'),
  THROTTLE_SIGN_UP_WINDOW_S: durationS(3600, 'Within how long, in seconds'),
  THROTTLE_KNOWN_ADDRESS_DAYS: Type.Integer({
    default: 30,
    minimum: 1,
    maximum: 365,
    description: 'How long an address is known to an account after a sign-in from it, in days',
  }),
  CORS_ORIGINS: Type.String({
    default: '',
    description: 'Comma-separated origins of the front ends that call from elsewhere, such as https://app.example.com',
  }),
  TRUST_PROXY: Type.String({ default: '', description: 'CIDR list of the proxies whose forwarded headers count' }),
});

/** What the environment says; what it leaves open is filled in for development on the embedded database. */
export type Settings = Omit<Config, 'databaseUrl' | 'authSecrets'> &
  Partial<Pick<Config, 'databaseUrl' | 'authSecrets'>>;

/** Everything that the service needs to know. */
export type Config = {
  production: boolean;
  host: string;
  port: number;
  shutdownDelayMs: number;
  databaseUrl: string;
  migrateOnStart: boolean;
  dataDir: string;
  /** Without it there are no metrics. */
  metricsPort?: number;
  publicUrl: string;
  tokenAudience: string;
  authSecrets: Secrets;
  bcryptCost: number;
  /** As many as there are cores when not set. */
  hashWorkers?: number;
  hashMaxWaitMs: number;
  passwordMinLength: number;
  /** Without it, no list is asked. */
  passwordBreachUrl?: string;
  passwordBreachTimeoutMs: number;
  accessTokenTtlS: number;
  refreshTokenTtlS: number;
  sessionMaxAgeS: number;
  sessionsPerAccount: number;
  refreshGraceS: number;
  tokenAlgorithm: SigningAlgorithm;
  /** 0: for ever. */
  auditRetentionDays: number;
  /** Client that is there from the start, on the embedded database. */
  firstClient?: { id: string; secret: string; scopes: string[] };
  redisUrl?: string;
  throttle: {
    enabled: boolean;
    /** How long an attempt counts that is never settled; more than it can take until its password is checked. */
    leaseS: number;
    account: Quota;
    pair: Quota;
    address: Quota;
    signUp: Quota;
    maxWaitS: number;
    knownAddressDays: number;
  };
  /** As browsers send them. */
  corsOrigins: string[];
  /** CIDR blocks, or single addresses. */
  trustProxy: string[];
  logLevel: string;
};

type Quota = { quota: number; windowS: number };

/** Options of the plugins that need settings. */
export type WithConfig = { config: Config };

const REQUIRED = ['DATABASE_URL', 'AUTH_SECRETS', 'PUBLIC_URL'] as const;

/**
 * Reads and checks the settings.
 *
 * @param required those without which production cannot do, nor, of `AUTH_SECRETS`, a database that is not the embedded one
 * @throws ConfigError that names everything that is wrong at once
 */
export function loadSettings(
  env: NodeJS.ProcessEnv = process.env,
  required: readonly (typeof REQUIRED)[number][] = REQUIRED,
): Settings {
  const { settings, complaints } = readEnvironment(Environment, env);

  const production = settings.NODE_ENV === 'production';
  for (const name of required) {
    if (settings[name]) continue;
    if (production) complaints.push(`${name} is required in production. ${ADVICE[name]}`);
    // One that is made in DATA_DIR belongs to the embedded database, and would leave keys and passwords in this one.
    else if (name === 'AUTH_SECRETS' && settings.DATABASE_URL)
      complaints.push(`${name} is required with a DATABASE_URL. ${ADVICE[name]}`);
  }
  const urlFault = settings.DATABASE_URL && describeDatabaseUrlFault(settings.DATABASE_URL);
  if (urlFault) complaints.push(`DATABASE_URL ${urlFault}`);
  let authSecrets: Secrets | undefined;
  try {
    authSecrets = settings.AUTH_SECRETS ? parseSecrets(settings.AUTH_SECRETS) : undefined;
  } catch (error) {
    complaints.push(`AUTH_SECRETS: ${(error as Error).message}.`);
  }
  const corsOrigins = readList(settings.CORS_ORIGINS);
  for (const origin of corsOrigins) {
    const problem = judgeOrigin(origin);
    if (problem) complaints.push(`CORS_ORIGINS: "${origin}" ${problem}.`);
  }
  const trustProxy = readList(settings.TRUST_PROXY);
  for (const block of trustProxy) {
    if (!isCidr(block))
      complaints.push(`TRUST_PROXY: "${block}" is not an address or a CIDR block (a hop count can be spoofed).`);
  }
  const throttle = readThrottle(settings);
  if (throttle.pair.quota > throttle.account.quota)
    complaints.push('THROTTLE_PAIR_FAILURES: must not be above THROTTLE_ACCOUNT_FAILURES.');
  if (throttle.maxWaitS < Math.max(throttle.pair.windowS, throttle.account.windowS))
    complaints.push('THROTTLE_MAX_WAIT_S: must not be below THROTTLE_ACCOUNT_WAIT_S or THROTTLE_PAIR_WAIT_S.');
  if (complaints.length > 0) throw new ConfigError(complaints);

  return {
    production,
    host: settings.HOST ?? (production ? '0.0.0.0' : '127.0.0.1'),
    port: settings.PORT,
    shutdownDelayMs: settings.SHUTDOWN_DELAY_MS ?? defaultShutdownDelayMs(production),
    migrateOnStart: settings.MIGRATE_ON_START,
    dataDir: settings.DATA_DIR,
    publicUrl: (settings.PUBLIC_URL ?? `http://localhost:${settings.PORT}`).replace(/\/+$/, ''),
    tokenAudience: settings.TOKEN_AUDIENCE,
    bcryptCost: settings.BCRYPT_COST,
    hashMaxWaitMs: settings.HASH_MAX_WAIT_MS,
    ...(settings.HASH_WORKERS !== undefined && { hashWorkers: settings.HASH_WORKERS }),
    passwordMinLength: settings.PASSWORD_MIN_LENGTH,
    passwordBreachTimeoutMs: settings.PASSWORD_BREACH_TIMEOUT_MS,
    ...(settings.PASSWORD_BREACH_URL && { passwordBreachUrl: settings.PASSWORD_BREACH_URL.replace(/\/+$/, '') }),
    accessTokenTtlS: settings.ACCESS_TOKEN_TTL_S,
    refreshTokenTtlS: settings.REFRESH_TOKEN_TTL_S,
    sessionMaxAgeS: settings.SESSION_MAX_AGE_S,
    sessionsPerAccount: settings.SESSIONS_PER_ACCOUNT,
    refreshGraceS: settings.REFRESH_GRACE_S,
    tokenAlgorithm: settings.TOKEN_ALGORITHM,
    auditRetentionDays: settings.AUDIT_RETENTION_DAYS,
    throttle,
    ...(settings.METRICS_PORT !== undefined && { metricsPort: settings.METRICS_PORT }),
    corsOrigins,
    trustProxy,
    logLevel: settings.LOG_LEVEL,
    ...(settings.REDIS_URL && { redisUrl: settings.REDIS_URL }),
    ...(settings.DATABASE_URL && { databaseUrl: settings.DATABASE_URL }),
    ...(authSecrets && { authSecrets }),
  };
}

function readList(text: string): string[] {
  return text
    .split(',')
    .map(item => item.trim())
    .filter(Boolean);
}

// HASH_MAX_WAIT_MS, a hash, and two statements that take as long as they may come to less.
const LEASE_S = 30;

function readThrottle(settings: Static<typeof Environment>): Config['throttle'] {
  return {
    enabled: settings.THROTTLE_ENABLED,
    leaseS: LEASE_S,
    account: { quota: settings.THROTTLE_ACCOUNT_FAILURES, windowS: settings.THROTTLE_ACCOUNT_WAIT_S },
    pair: { quota: settings.THROTTLE_PAIR_FAILURES, windowS: settings.THROTTLE_PAIR_WAIT_S },
    address: { quota: settings.THROTTLE_ADDRESS_FAILURES, windowS: settings.THROTTLE_ADDRESS_WINDOW_S },
    signUp: { quota: settings.THROTTLE_SIGN_UPS, windowS: settings.THROTTLE_SIGN_UP_WINDOW_S },
    maxWaitS: settings.THROTTLE_MAX_WAIT_S,
    knownAddressDays: settings.THROTTLE_KNOWN_ADDRESS_DAYS,
  };
}

const ADVICE = {
  DATABASE_URL: 'Set it to postgresql://user:password@host:5432/database.',
  AUTH_SECRETS: 'Make one with: echo "1:$(openssl rand -base64 32)"',
  PUBLIC_URL: 'Set it to the URL that clients use, such as https://auth.example.com.',
};
