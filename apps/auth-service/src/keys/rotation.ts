import type { Queryable } from '@latchkey/service-kit/database';
import type { SecretsSettings } from '../config/sections/secrets.js';
import { MAX_ACCESS_TOKEN_TTL_S, type TokenSettings } from '../config/sections/tokens.js';
import { type Origin, recordEvent } from '../events/recorder.js';
import { generateSealedKey, openKey, resealKey } from './signing-key.js';
import {
  advanceNextKey,
  deleteNextKey,
  endKey,
  insertKey,
  listKeys,
  lockKeys,
  type StoredKey,
  updateSeal,
} from './stored-keys.js';

/** How long clients may keep the published keys, in seconds. */
export const JWKS_MAX_AGE_S = 300;
/** How long a key is published before it signs, in seconds: longer than a client keeps keys that lack it. */
export const KEY_LEAD_S = 2 * JWKS_MAX_AGE_S;
// How long a retired key is published: the maximum of ACCESS_TOKEN_TTL_S, because the service may have other settings than the
// process that rotates, and 5 minutes more for clocks that are behind.
const OVERLAP_S = MAX_ACCESS_TOKEN_TTL_S + 300;

type KeyConfig = SecretsSettings & Pick<TokenSettings, 'tokenAlgorithm'>;

/** A rotation or retirement that does not fit the state of the keys. */
export class KeyLifeError extends Error {}

/**
 * Makes sure that a key signs, that the latest key has the configured algorithm, and that every key is sealed by the current
 * secret. Needs a transaction, like the other functions of this file.
 */
export async function ensureKeys(db: Queryable, config: KeyConfig, origin: Origin): Promise<void> {
  await lockKeys(db);
  const keys = await listKeys(db);
  const [latest] = keys.filter(isCurrent);
  const active = keys.find(isActive);
  if (latest?.publicJwk.alg !== config.tokenAlgorithm) {
    if (latest?.state === 'next') await deleteNextKey(db);
    if (active?.publicJwk.alg !== config.tokenAlgorithm) await addKey(db, config, keys, KEY_LEAD_S, origin);
  } else if (!active) {
    await advanceNextKey(db, OVERLAP_S);
  }
  for (const key of keys.filter(key => isSealedByOlder(key, config))) {
    await updateSeal(db, resealKey(key, config.authSecrets), key.secretId);
    const details = { kid: key.kid, secretId: config.authSecrets[0].id };
    await recordEvent(db, origin, 'signing_key_resealed', { details });
  }
}

/** Whether {@link ensureKeys} would change something. */
export function needAttention(keys: StoredKey[], config: KeyConfig): boolean {
  const [latest] = keys.filter(isCurrent);
  const isSettled = latest?.publicJwk.alg === config.tokenAlgorithm && keys.some(isActive);
  return !isSettled || keys.some(key => isSealedByOlder(key, config));
}

/**
 * Plans a rotation: a new key that signs from `leadS` seconds on.
 *
 * @returns its kid
 * @throws KeyLifeError when a rotation is under way already
 */
export async function rotateKeys(db: Queryable, config: KeyConfig, leadS: number, origin: Origin): Promise<string> {
  await lockKeys(db);
  const keys = await listKeys(db);
  const next = keys.find(({ state }) => state === 'next');
  if (next) {
    const advice = 'Wait for it, or retire it first.';
    throw new KeyLifeError(`The key ${next.kid} is next already; it signs from ${next.activeFrom} on. ${advice}`);
  }
  return addKey(db, config, keys, leadS, origin);
}

/**
 * Retires a key early. A next key is deleted. An active key is replaced at once by the next or a new one, and its tokens
 * stay valid until they expire.
 *
 * @param distrust whether its tokens are refused from now on, which is necessary when the key has leaked
 * @throws KeyLifeError when there is no such key, or nothing is left to do
 */
export async function retireKey(
  db: Queryable,
  config: KeyConfig,
  { kid, distrust }: { kid: string; distrust: boolean },
  origin: Origin,
): Promise<void> {
  await lockKeys(db);
  const keys = await listKeys(db);
  const key = keys.find(key => key.kid === kid);
  if (!key) throw new KeyLifeError(`There is no key ${kid}. "latchkey keys list" shows the keys.`);
  if (key.state === 'gone') {
    throw new KeyLifeError(
      `The key ${kid} is gone since ${key.goneFrom}: its tokens are refused, and nothing is left to do.`,
    );
  }
  if (key.state === 'retired' && !distrust) {
    throw new KeyLifeError(`The key ${kid} is retired already; its tokens are good until ${key.goneFrom}.`);
  }
  if (key.state === 'next') {
    await deleteNextKey(db);
  } else if (key.state === 'active') {
    const next = keys.find(({ state }) => state === 'next');
    if (next && canOpen(next, config)) {
      await advanceNextKey(db, OVERLAP_S);
    } else {
      // A key that cannot be opened must not take over.
      if (next) await deleteNextKey(db);
      // addKey opens the active key to check our secrets, which is impossible when its secret is lost.
      const others = keys.filter(other => other !== key);
      await addKey(db, config, others, 0, origin);
    }
  }
  if (distrust) await endKey(db, kid);
  const event = distrust ? 'signing_key_distrusted' : 'signing_key_retired';
  await recordEvent(db, origin, event, { details: { kid } });
}

async function addKey(
  db: Queryable,
  config: KeyConfig,
  keys: StoredKey[],
  lead: number,
  origin: Origin,
): Promise<string> {
  const active = keys.find(isActive);
  // A process whose secrets do not open the active key would seal a new one that the replicas cannot open.
  if (active) openKey(active, config.authSecrets);
  // Verifiers know no key when none is active, so the new one need not wait until they do.
  const leadS = active ? lead : 0;
  const key = await generateSealedKey(config.tokenAlgorithm, config.authSecrets[0]);
  await insertKey(db, key, leadS, OVERLAP_S);
  const details = { kid: key.kid, algorithm: config.tokenAlgorithm, leadS };
  await recordEvent(db, origin, 'signing_key_added', { details });
  return key.kid;
}

function canOpen(key: StoredKey, { authSecrets }: KeyConfig): boolean {
  try {
    openKey(key, authSecrets);
    return true;
  } catch {
    return false;
  }
}

function isActive({ state }: StoredKey): boolean {
  return state === 'active';
}

function isCurrent({ state }: StoredKey): boolean {
  return state === 'next' || state === 'active';
}

function isSealedByOlder({ secretId, state }: StoredKey, { authSecrets }: KeyConfig): boolean {
  return state !== 'gone' && authSecrets.slice(1).some(({ id }) => id === secretId);
}
