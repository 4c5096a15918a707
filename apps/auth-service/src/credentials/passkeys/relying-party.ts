import type { FactorSettings } from '../../config/sections/factors.js';

/** Whose passkeys the service makes and accepts (WebAuthn Level 3 §4, Relying Party). */
export type RelyingParty = FactorSettings['passkeys'] & { rpId: string };

/** The relying party of the settings; `undefined` when the service has no domain, and so no passkeys. */
export function relyingPartyOf({ passkeys }: Pick<FactorSettings, 'passkeys'>): RelyingParty | undefined {
  const { rpId } = passkeys;
  return rpId === undefined ? undefined : { ...passkeys, rpId };
}

const ANY_LOCALHOST = 'http://localhost:*';
const LOCALHOST = /^http:\/\/localhost(:\d{1,5})?$/;

/** Whether pages of an origin may use the passkeys of a relying party. */
export function isOriginAllowed(origin: string, { origins }: Pick<RelyingParty, 'origins'>): boolean {
  return origins.some(allowed => (allowed === ANY_LOCALHOST ? LOCALHOST.test(origin) : allowed === origin));
}
