import type { Secrets } from '../../config/secrets.js';
import type { Settings } from '../../config/settings.js';
import { openKey } from '../../keys/signing-key.js';
import type { StoredKey } from '../../keys/stored-keys.js';
import { duration, type Finding, fail, ok, warn } from './finding.js';

const NAME = 'signing-keys';
// NIST SP 800-57 part 1, table 1: one to three years.
const OLD_MS = 365 * 86_400_000;

/** Checks whether tokens can be signed, and whether a rotation is due. */
export function checkKeys(stored: StoredKey[], secrets: Secrets, { tokenAlgorithm }: Settings): Finding[] {
  const keys = stored.filter(({ state }) => state !== 'gone');
  const active = keys.find(({ state }) => state === 'active');
  const next = keys.find(({ state }) => state === 'next');
  const latest = next ?? active;
  if (!latest) return [ok(NAME, 'there is no key yet; the service makes one when it starts')];

  const findings = keys.flatMap(key => checkSeal(key, secrets));
  if (!active) {
    findings.push(warn(NAME, 'no key is active', 'Restart the service: it activates the next key.'));
  } else if (!findings.some(({ status }) => status === 'fail')) {
    const ageMs = -active.activeInMs;
    const then = next ? `; ${next.kid} replaces it at ${next.activeFrom}` : '';
    findings.unshift(ok(NAME, `${active.kid} (${active.publicJwk.alg}) has signed for ${duration(ageMs)}${then}`));
    if (ageMs > OLD_MS && !next) {
      findings.push(warn(NAME, 'the active key has signed for more than a year', 'Run "latchkey keys rotate".'));
    }
  }
  if (latest.publicJwk.alg !== tokenAlgorithm) {
    const detail = `the latest key is for ${latest.publicJwk.alg}, but TOKEN_ALGORITHM is ${tokenAlgorithm}`;
    findings.push(warn(NAME, detail, 'Restart the service, which plans the rotation, or set TOKEN_ALGORITHM back.'));
  }
  return findings;
}

/** Checks whether a key can be opened, and by the current secret. */
function checkSeal(key: StoredKey, secrets: Secrets): Finding[] {
  const { kid, state, secretId } = key;
  const [current, ...older] = secrets.map(({ id }) => id);
  const judge = state === 'active' ? fail : warn;
  if (secretId !== current && !older.includes(secretId)) {
    const advice = `Add this secret to AUTH_SECRETS, behind the current one. If it is lost, run "latchkey keys retire ${kid}".`;
    const detail = `the ${state} key ${kid} is sealed by the secret "${secretId}", which is not in AUTH_SECRETS`;
    // A retired key only verifies, which its public half is enough for.
    return state === 'retired' ? [] : [judge(NAME, detail, advice)];
  }
  try {
    openKey(key, secrets);
  } catch {
    const detail = `the secret "${secretId}" does not open the ${state} key ${kid}: it has another value than when it sealed the key`;
    const advice = `Restore the old value of the secret. If it is lost, run "latchkey keys retire ${kid}".`;
    return [judge(NAME, detail, advice)];
  }
  if (secretId === current) return [];
  const detail = `the ${state} key ${kid} is still sealed by the older secret "${secretId}"`;
  return [warn(NAME, detail, 'Restart the replicas: they seal it by the current secret.')];
}
