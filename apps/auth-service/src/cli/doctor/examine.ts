import type { Secrets } from '../../config/secrets.js';
import type { Settings } from '../../config/settings.js';
import { countPasskeys } from '../../credentials/passkeys/stored-passkeys.js';
import { countPeppers, countUnreadHashes, findHighestCost } from '../../credentials/password/stored-passwords.js';
import { countTotpSecrets } from '../../credentials/totp/stored-totp.js';
import { listKeys, type StoredKey } from '../../keys/stored-keys.js';
import { readQueueState } from '../../mail/queue.js';
import { checkBreachList } from './breaches.js';
import { checkClock } from './clocks.js';
import { type Connection, openConnection } from './connection.js';
import { checkConnections, checkDatabase } from './database.js';
import { type Finding, skip } from './finding.js';
import { checkHashing, checkHighestCost, checkUnread } from './hashing.js';
import { checkKeys } from './keys.js';
import { checkMail, checkMailQueue } from './mail.js';
import { checkMigrations } from './migrations.js';
import { checkPasskeys } from './passkeys.js';
import { type Check, perform } from './perform.js';
import { checkPooling } from './pooler.js';
import { checkProxies } from './proxies.js';
import { checkPublicUrl } from './public-url.js';
import { checkRedis } from './redis.js';
import { checkRights, checkRole } from './role.js';
import { checkSecrets, checkSecretsInUse, findSecrets } from './secrets.js';
import { checkSettings, readSettings } from './settings.js';

/** Checks the installation that the environment describes; changes nothing. */
export async function examine(env?: NodeJS.ProcessEnv): Promise<Finding[]> {
  const read = readSettings(env);
  if ('complaints' in read) return [...read.complaints, skip('other checks', 'the settings are not valid')];
  const { settings } = read;
  const opened = await openConnection(settings);
  try {
    const findings: Finding[] = [];
    for (const check of listChecks(settings, 'connection' in opened ? opened.connection : opened.finding)) {
      findings.push(...(await perform(check)));
    }
    return findings;
  } finally {
    if ('close' in opened) await opened.close();
  }
}

function listChecks(settings: Settings, database: Connection | Finding): Check[] {
  let secrets: Secrets | undefined;
  let keys: StoredKey[] | undefined;
  let unreachable = 'client' in database ? undefined : 'the database was not reached';

  /** A check that is skipped when the database was not reached, or was lost. */
  const onDatabase = (name: string, run: (connection: Connection) => Promise<Finding[]>): Check => ({
    name,
    async run() {
      if (!('client' in database) || unreachable !== undefined) return [skip(name, `${unreachable}`)];
      try {
        return await run(database);
      } catch (error) {
        if (database.isLost(error as Error)) unreachable = 'the connection to the database was lost';
        throw error;
      }
    },
  });
  /** A check that is also skipped when there is no secret yet. */
  const withSecrets = (name: string, run: (connection: Connection, secrets: Secrets) => Promise<Finding[]>) =>
    onDatabase(name, async connection => (secrets ? run(connection, secrets) : [skip(name, 'there is no secret yet')]));

  const { publicUrl, redisUrl, throttle, passwordBreachUrl, passwordBreachTimeoutMs } = settings;
  const checks: (Check | false | undefined)[] = [
    { name: 'settings', run: () => checkSettings(settings) },
    {
      name: 'secrets',
      async run() {
        secrets = await findSecrets(settings);
        return checkSecrets(secrets, settings);
      },
    },
    { name: 'TRUST_PROXY', run: () => checkProxies(settings) },
    'client' in database ? onDatabase('database', checkDatabase) : { name: 'database', run: () => [database] },
    onDatabase('connections', checkConnections),
    onDatabase('pooler', checkPooling),
    onDatabase('clock', checkClock),
    onDatabase('role', checkRole),
    onDatabase('migrations', ({ read }) => read(db => checkMigrations(db, settings))),
    onDatabase('rights', connection => connection.read(checkRights)),
    withSecrets('signing-keys', async (connection, secrets) => {
      keys = await connection.read(listKeys);
      return checkKeys(keys, secrets, settings);
    }),
    withSecrets('secrets-in-use', async (connection, secrets) => {
      const peppers = await connection.read(countPeppers);
      const totp = await connection.read(countTotpSecrets);
      return checkSecretsInUse(secrets, keys ?? (await connection.read(listKeys)), peppers, totp, settings);
    }),
    { name: 'hashing', run: () => checkHashing(settings) },
    onDatabase('stored-hashes', async ({ read }) => [
      ...checkHighestCost(await read(findHighestCost), settings),
      ...checkUnread(await read(countUnreadHashes)),
    ]),
    onDatabase('passkeys', async ({ read }) => checkPasskeys(await read(countPasskeys), settings)),
    redisUrl !== undefined && throttle.enabled && { name: 'redis', run: () => checkRedis(redisUrl) },
    passwordBreachUrl !== undefined && {
      name: 'breach-list',
      run: () => checkBreachList(passwordBreachUrl, passwordBreachTimeoutMs),
    },
    { name: 'mail', run: () => checkMail(settings) },
    onDatabase('mail-queue', async ({ read }) => checkMailQueue(await read(db => readQueueState(db, 1000)))),
    { name: 'PUBLIC_URL', run: () => checkPublicUrl({ publicUrl }, keys) },
  ];
  return checks.filter(check => check !== false && check !== undefined);
}
