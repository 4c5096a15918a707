import type { Secrets } from '../../config/secrets.js';
import type { Settings } from '../../config/settings.js';
import { openKey } from '../../keys/signing-key.js';
import type { StoredKey } from '../../keys/stored-keys.js';
import { duration, type Finding, fail, ok, warn } from './finding.js';

const NAME = 'signing-keys';
// NIST SP 800-57 part 1, table 1: one to three years.
const OLD_MS = 365 * 86_400_000;

/** Looks whether tokens can be signed, and for how long still. */
export function checkKeys(stored: StoredKey[], secrets: Secrets, { tokenAlgorithm }: Settings): Finding[] {
  const keys = stored.filter(({ state }) => state !== 'gone');
  const active = keys.find(({ state }) => state === 'active');
  const next = keys.find(({ state }) => state === 'next');
  const latest = next ?? active;
  if (!latest) return [ok(NAME, 'there is none yet; the service makes one when it starts')];

  const findings = keys.flatMap(key => checkSeal(key, secrets));
  if (!active) {
    findings.push(warn(NAME, 'none is active', 'Start the service anew: it lets the next one sign.'));
  } else if (!findings.some(({ status }) => status === 'fail')) {
    const ageMs = -active.activeInMs;
    const then = next ? `; ${next.kid} takes over at ${next.activeFrom}` : '';
    findings.unshift(ok(NAME, `${active.kid} (${active.publicJwk.alg}) has signed for ${duration(ageMs)}${then}`));
    if (ageMs > OLD_MS && !next) {
      findings.push(warn(NAME, 'it has signed for more than a year', 'Run "latchkey keys rotate".'));
    }
  }
  if (latest.publicJwk.alg !== tokenAlgorithm) {
    const detail = `the latest key is for ${latest.publicJwk.alg}, and TOKEN_ALGORITHM is ${tokenAlgorithm}`;
    findings.push(warn(NAME, detail, 'Start the service anew, which plans the rotation, or set it back.'));
  }
  return findings;
}

/** Whether the key can be opened, and by the current secret. */
function checkSeal(key: StoredKey, secrets: Secrets): Finding[] {
  const { kid, state, secretId } = key;
  const [current, ...older] = secrets.map(({ id }) => id);
  const judge = state === 'active' ? fail : warn;
  if (secretId !== current && !older.includes(secretId)) {
    const advice = `Add it behind the current one; if it is lost, run "latchkey keys retire ${kid}".`;
    const detail = `the ${state} key ${kid} is sealed by the secret "${secretId}", which is not in AUTH_SECRETS`;
    // All that is left for a retired key to do is to verify, by its public half.
    return state === 'retired' ? [] : [judge(NAME, detail, advice)];
  }
  try {
    openKey(key, secrets);
  } catch {
    const detail = `the secret "${secretId}" does not open the ${state} key ${kid}: it is not the one that sealed it`;
    const advice = `Put back the value that it had; if that is lost, run "latchkey keys retire ${kid}".`;
    return [judge(NAME, detail, advice)];
  }
  if (secretId === current) return [];
  const detail = `the ${state} key ${kid} is still sealed by the older secret "${secretId}"`;
  return [warn(NAME, detail, 'Start the replicas anew: they seal it with the current one.')];
}
