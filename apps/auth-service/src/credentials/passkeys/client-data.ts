import { isOriginAllowed } from '@latchkey/service-kit';
import type { RelyingParty } from './relying-party.js';

/** What a browser says about the use of a passkey (WebAuthn Level 3 §5.8.1). The signature covers it. */
export type ClientData = { challenge: string; origin: string };

/**
 * Reads client data of a page that may use the passkeys.
 *
 * @returns `undefined` when it has another form, or is of a page of another origin or in a frame of one
 */
export function readClientData(base64Url: string, relyingParty: RelyingParty): ClientData | undefined {
  try {
    const data: unknown = JSON.parse(Buffer.from(base64Url, 'base64url').toString());
    const { challenge, origin, crossOrigin, topOrigin } = data as Record<string, unknown>;
    if (typeof challenge !== 'string' || typeof origin !== 'string') return undefined;
    // A page that embeds ours must not have its visitors prove anything.
    if (crossOrigin === true || topOrigin !== undefined) return undefined;
    return isOriginAllowed(origin, relyingParty.origins) ? { challenge, origin } : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a challenge was made for just that. */
export function isAbout(challenge: object, about: object): boolean {
  return Object.entries(about).every(([name, value]) => (challenge as Record<string, unknown>)[name] === value);
}
