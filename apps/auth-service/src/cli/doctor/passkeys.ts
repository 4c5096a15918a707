import type { Settings } from '../../config/settings.js';
import type { PasskeyCount } from '../../credentials/passkeys/stored-passkeys.js';
import { type Finding, ok, plural, warn } from './finding.js';

const NAME = 'passkeys';
const ORIGINS = 'passkey-origins';

/** Judges whether the stored passkeys, and pages of the origins, can be used with the relying party of the settings. */
export function checkPasskeys(counts: PasskeyCount[], { passkeys, publicUrl }: Settings): Finding[] {
  const { rpId, origins } = passkeys;
  const lost = counts.filter(count => count.rpId !== rpId).map(count => checkLost(count, rpId));
  if (rpId === undefined) {
    return [ok(NAME, `there are none, because ${publicUrl} has no domain and PASSKEY_RP_ID is not set`), ...lost];
  }
  const usable = counts.find(count => count.rpId === rpId);
  const found = ok(NAME, `${plural(usable?.passkeys ?? 0, 'passkey')} for ${rpId}`);
  return [found, ...lost, ...checkOrigins(rpId, origins)];
}

function checkLost({ rpId: before, passkeys, accounts }: PasskeyCount, rpId: string | undefined): Finding {
  const now = rpId === undefined ? 'there is no domain now' : `the domain is ${rpId} now`;
  return warn(
    NAME,
    `${plural(passkeys, 'passkey')} of ${plural(accounts, 'account')} cannot be used: made for ${before}, and ${now}`,
    `Set PASSKEY_RP_ID to ${before}, unless its owners are to make new ones. A passkey cannot change its domain.`,
  );
}

/** A page may use the passkeys of its own domain and of those above it; others must be named as related (WebAuthn Level 3 §5.11). */
function checkOrigins(rpId: string, origins: readonly string[]): Finding[] {
  const foreign = origins.filter(origin => {
    if (!URL.canParse(origin)) return false;
    const { hostname, protocol } = new URL(origin);
    return protocol.startsWith('http') && hostname !== rpId && !hostname.endsWith(`.${rpId}`);
  });
  if (foreign.length === 0) return [ok(ORIGINS, `pages of ${origins.join(', ')} may use passkeys of ${rpId}`)];
  const detail = `${foreign.join(', ')} ${foreign.length === 1 ? 'is' : 'are'} not of the domain ${rpId}`;
  const advice = `Have https://${rpId}/.well-known/webauthn lead to the service: browsers that know related origins read it there. Others need a PASSKEY_RP_ID that the hosts end with.`;
  return [warn(ORIGINS, detail, advice)];
}
