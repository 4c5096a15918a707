import type { FactorSettings } from '../../config/sections/factors.js';

/** Whose passkeys the service makes and accepts (WebAuthn Level 3 §4, Relying Party). */
export type RelyingParty = FactorSettings['passkeys'] & { rpId: string };

/** The relying party of the settings; `undefined` when the service has no domain, and so no passkeys. */
export function relyingPartyOf({ passkeys }: Pick<FactorSettings, 'passkeys'>): RelyingParty | undefined {
  const { rpId } = passkeys;
  return rpId === undefined ? undefined : { ...passkeys, rpId };
}
