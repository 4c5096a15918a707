import { availableParallelism } from 'node:os';
import { ConfigError } from '@latchkey/service-kit';
import { loadSettings, type Settings } from '../../config/settings.js';
import { LEAST_COST } from '../../credentials/password/measure.js';
import { duration, type Finding, fail, ok, warn } from './finding.js';
import { isLoopback } from './hosts.js';

const NAME = 'settings';
const LONG_TOKEN_S = 3600;

/** Reads the settings as the service does, or says everything that is wrong with them. */
export function readSettings(env?: NodeJS.ProcessEnv): { settings: Settings } | { complaints: Finding[] } {
  try {
    return { settings: loadSettings(env) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { complaints: error.complaints.map(detail => ({ name: NAME, status: 'fail', detail })) };
  }
}

/** Looks for settings that are valid, and dangerous. */
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
        'this is not production, yet PUBLIC_URL is for others than this machine',
        'Set NODE_ENV=production: it refuses development defaults.',
      ),
    (username !== '' || password !== '') &&
      fail(
        'PUBLIC_URL',
        'it holds a username or a password, and is public: every token names it',
        'Take them out, and change the password.',
      ),
    production &&
      protocol !== 'https:' &&
      (isLoopback(hostname) ? warn : fail)(
        'PUBLIC_URL',
        'it is not https: passwords and tokens travel in the clear',
        'Let the gateway speak TLS, and set PUBLIC_URL to that.',
      ),
    !settings.throttle.enabled &&
      warn('THROTTLE_ENABLED', 'the throttles are off: passwords can be guessed without limit', 'Take it out.'),
    bcryptCost < LEAST_COST &&
      warn(
        'BCRYPT_COST',
        `${bcryptCost} is cheap to guess against`,
        `Set it to ${LEAST_COST} at the least; "latchkey passwords calibrate" proposes one for this machine.`,
      ),
    accessTokenTtlS > LONG_TOKEN_S &&
      warn(
        'ACCESS_TOKEN_TTL_S',
        `access tokens live ${duration(accessTokenTtlS * 1000)}: whoever verifies them without the feed of revocations accepts stolen ones for that long`,
        'Set it to 3600 or less; clients refresh by themselves.',
      ),
    production &&
      (logLevel === 'debug' || logLevel === 'trace') &&
      warn('LOG_LEVEL', `${logLevel} is a lot to log in production`, 'Set it to info.'),
    hashWorkers !== undefined &&
      hashWorkers > cores &&
      warn(
        'HASH_WORKERS',
        `${hashWorkers} workers share ${cores} cores: every sign-in takes longer, and no more of them get done`,
        `Set it to ${cores} or less, or take it out.`,
      ),
    metricsPort !== undefined &&
      metricsPort === port &&
      fail('METRICS_PORT', `it is ${port}, as PORT is: the service cannot start`, 'Set it to another one.'),
  ];
  return findings.filter(finding => finding !== false);
}
