import type { PasskeyCreationOptions, PasskeyRequestOptions } from '@latchkey/user-schema';
import { CHALLENGE_TTL_S } from '../../sessions/challenges.js';
import type { RelyingParty } from './relying-party.js';

/** A passkey as options name it. */
export type PasskeyDescriptor = { id: string; transports: string[] };

/** ES256, EdDSA and RS256 (RFC 9053), which every authenticator has one of. */
export const ALGORITHMS = [-7, -8, -257];

const TIMEOUT_MS = CHALLENGE_TTL_S * 1000;

const describe = ({ id, transports }: PasskeyDescriptor) => ({
  ...{ id, type: 'public-key' as const },
  ...(transports.length > 0 && { transports }),
});

/** Options for a new passkey of an account, which none of those that it has can become. */
export function creationOptions(
  { rpId, rpName }: RelyingParty,
  { challenge, handle, username }: { challenge: string; handle: string; username: string },
  exclude: PasskeyDescriptor[] = [],
): PasskeyCreationOptions {
  return {
    rp: { id: rpId, name: rpName },
    user: { id: handle, name: username, displayName: username },
    challenge,
    pubKeyCredParams: ALGORITHMS.map(alg => ({ type: 'public-key', alg })),
    timeout: TIMEOUT_MS,
    excludeCredentials: exclude.map(describe),
    authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
    attestation: 'none',
  };
}

/** Options for the use of one of the given passkeys, or of whichever the authenticator has. */
export function requestOptions(
  { rpId }: RelyingParty,
  challenge: string,
  allow?: PasskeyDescriptor[],
): PasskeyRequestOptions {
  return {
    ...{ challenge, timeout: TIMEOUT_MS, rpId, userVerification: 'required' },
    ...(allow && { allowCredentials: allow.map(describe) }),
  };
}
