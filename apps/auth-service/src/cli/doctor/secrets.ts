import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseSecrets, type Secrets } from '../../config/secrets.js';
import type { Settings } from '../../config/settings.js';
import type { PepperCount } from '../../credentials/password/stored-passwords.js';
import type { TotpCount } from '../../credentials/totp/stored-totp.js';
import type { StoredKey } from '../../keys/stored-keys.js';
import { duration, type Finding, ok, plural, warn } from './finding.js';

const NAME = 'secrets';
const IN_USE = 'secrets-in-use';
// 32 random bytes have more distinct values than this.
const LEAST_DIFFERENT = 16;
const ADD_ADVICE = 'Add this secret to AUTH_SECRETS, behind the current one.';

/** The secrets that the service uses; `undefined` when it would first make one. */
export async function findSecrets({ authSecrets, dataDir }: Settings): Promise<Secrets | undefined> {
  if (authSecrets) return authSecrets;
  const file = join(dataDir, 'auth-secrets');
  const kept = await readFile(file, 'utf8').catch(({ code }: NodeJS.ErrnoException) => {
    if (code === 'ENOENT') return undefined;
    throw new Error(`${file} cannot be read (${code})`);
  });
  return kept === undefined ? undefined : parseSecrets(kept);
}

/** Checks whether the secrets look random. */
export function checkSecrets(secrets: Secrets | undefined, { authSecrets, dataDir }: Settings): Finding[] {
  if (!secrets) return [ok(NAME, `there is none yet; the service makes one in ${dataDir} when it starts`)];
  const sizes = secrets.map(({ id, key }, n) => `"${id}" of ${key.length} bytes${n === 0 ? ', the current one' : ''}`);
  const source = authSecrets ? '' : `, kept in ${dataDir}`;
  const weak = secrets.filter(({ key }) => new Set(key).size < LEAST_DIFFERENT || isText(key));
  return [
    ok(NAME, `${sizes.join('; ')}${source}`),
    ...weak.map(({ id }) =>
      warn(NAME, `the secret "${id}" does not look random`, 'Replace it by one made with: openssl rand -base64 32'),
    ),
  ];
}

/** Compares the secrets with the passwords, keys and authenticator apps that need them. */
export function checkSecretsInUse(
  secrets: Secrets,
  keys: StoredKey[],
  peppers: PepperCount[],
  totp: TotpCount[],
  { refreshTokenTtlS }: Settings,
): Finding[] {
  const [current, ...older] = secrets.map(({ id }) => id);
  const accounts = new Map(peppers.map(pepper => [pepper.secretId, pepper.accounts]));
  const needed = older.map(id => ({
    id,
    passwords: accounts.get(id) ?? 0,
    keys: keys.filter(({ secretId, state }) => secretId === id && state !== 'gone').length,
    apps: totp.find(({ secretId }) => secretId === id)?.apps ?? 0,
  }));
  const [idle, busy] = [needed.filter(isIdle), needed.filter(secret => !isIdle(secret))];
  const isMissing = ({ secretId }: { secretId: string }) => secretId !== current && !older.includes(secretId);

  return [
    ...busy.map(({ id, passwords, keys, apps }) => {
      const many = `${plural(passwords, 'password')}, ${plural(keys, 'key')} and ${plural(apps, 'authenticator app')}`;
      return ok(IN_USE, `"${id}" is needed by ${many}`);
    }),
    ...idle.map(({ id }) =>
      warn(
        IN_USE,
        `no password, key or authenticator app needs the secret "${id}"`,
        `If it is the new secret, move it to the front of AUTH_SECRETS. If it is the old one, remove it ${duration(refreshTokenTtlS * 1000)} after it was moved behind: until then sessions may need it.`,
      ),
    ),
    ...peppers
      .filter(isMissing)
      .map(({ secretId, accounts }) =>
        warn(
          IN_USE,
          `${plural(accounts, 'account')} cannot sign in: the password hashes need the secret "${secretId}", which is not in AUTH_SECRETS`,
          ADD_ADVICE,
        ),
      ),
    ...totp
      .filter(isMissing)
      .map(({ secretId, apps }) =>
        warn(
          IN_USE,
          `${plural(apps, 'authenticator app')} cannot be checked: what they share with the service needs the secret "${secretId}", which is not in AUTH_SECRETS`,
          ADD_ADVICE,
        ),
      ),
  ];
}

const isIdle = ({ passwords, keys, apps }: Record<'passwords' | 'keys' | 'apps', number>) =>
  passwords === 0 && keys === 0 && apps === 0;

/** Whether bytes are printable ASCII, as typed text is. */
function isText(key: Buffer): boolean {
  return key.every(byte => byte >= 0x20 && byte < 0x7f);
}
