import { availableParallelism } from 'node:os';
import { ConfigError } from '@latchkey/service-kit';
import { isLoopback } from '../../config/hosts.js';
import { loadSettings, type Settings } from '../../config/settings.js';
import { LEAST_COST } from '../../credentials/password/measure.js';
import { duration, type Finding, fail, ok, warn } from './finding.js';

const NAME = 'settings';
const LONG_TOKEN_S = 3600;

/** Reads the settings as the service does, or lists everything that is invalid. */
export function readSettings(env?: NodeJS.ProcessEnv): { settings: Settings } | { complaints: Finding[] } {
  try {
    return { settings: loadSettings(env) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { complaints: error.complaints.map(detail => ({ name: NAME, status: 'fail', detail })) };
  }
}

/** Looks for settings that are valid but dangerous. */
export function checkSettings(settings: Settings): Finding[] {
  const { production, publicUrl, port, metricsPort, hashWorkers, logLevel, bcryptCost, accessTokenTtlS } = settings;
  const cores = availableParallelism();
  const { protocol, hostname, username, password } = new URL(publicUrl);
  const findings: (Finding | false)[] = [
    ok(NAME, production ? 'valid, for production' : 'valid, for development: NODE_ENV is not production'),
    !production &&
      !isLoopback(hostname) &&
      warn(
        'NODE_ENV',
        'it is not production, but PUBLIC_URL is not on this machine',
        'Set NODE_ENV=production, which refuses development defaults.',
      ),
    (username !== '' || password !== '') &&
      fail(
        'PUBLIC_URL',
        'it has a username or a password, and every token contains PUBLIC_URL',
        'Remove them from PUBLIC_URL, and change the password.',
      ),
    production &&
      protocol !== 'https:' &&
      (isLoopback(hostname) ? warn : fail)(
        'PUBLIC_URL',
        `${publicUrl} is not https: passwords and tokens are sent in plain text`,
        isLoopback(hostname)
          ? 'Expected where only this machine uses the service. Otherwise terminate TLS at the gateway, and set PUBLIC_URL to its https URL.'
          : 'Terminate TLS at the gateway, and set PUBLIC_URL to its https URL.',
      ),
    !settings.throttle.enabled &&
      warn(
        'THROTTLE_ENABLED',
        'the throttles are off: passwords can be guessed without limit',
        'Remove THROTTLE_ENABLED.',
      ),
    bcryptCost < LEAST_COST &&
      warn(
        'BCRYPT_COST',
        `a cost of ${bcryptCost} makes guesses at stolen hashes cheap`,
        `Set BCRYPT_COST to ${LEAST_COST} or more; "latchkey passwords calibrate" proposes one for this machine.`,
      ),
    accessTokenTtlS > LONG_TOKEN_S &&
      warn(
        'ACCESS_TOKEN_TTL_S',
        `access tokens live for ${duration(accessTokenTtlS * 1000)}: a verifier without the revocation feed accepts a stolen one for that long`,
        'Set ACCESS_TOKEN_TTL_S to 3600 or less; clients refresh by themselves.',
      ),
    production &&
      (logLevel === 'debug' || logLevel === 'trace') &&
      warn('LOG_LEVEL', `${logLevel} logs a lot in production`, 'Set LOG_LEVEL=info.'),
    hashWorkers !== undefined &&
      hashWorkers > cores &&
      warn(
        'HASH_WORKERS',
        `${hashWorkers} workers share ${cores} cores: each sign-in takes longer, and there are no more of them a second`,
        `Set HASH_WORKERS to ${cores} or less, or remove it.`,
      ),
    metricsPort !== undefined &&
      metricsPort === port &&
      fail('METRICS_PORT', `it is ${port}, like PORT: the service cannot start`, 'Set METRICS_PORT to another port.'),
  ];
  return findings.filter(finding => finding !== false);
}
