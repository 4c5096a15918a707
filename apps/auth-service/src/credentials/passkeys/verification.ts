import type { PasskeyAssertion, PasskeyRegistration } from '@latchkey/user-schema';
import type { ClientData } from './client-data.js';
import { ALGORITHMS } from './options.js';
import type { RelyingParty } from './relying-party.js';

/** A passkey as its registration describes it. */
export type NewPasskey = {
  credentialId: Buffer;
  /** COSE_Key (RFC 9052 §7). */
  publicKey: Buffer;
  signCount: number;
  backupEligible: boolean;
  backedUp: boolean;
  transports: string[];
};

/** What an assertion is verified with. */
export type VerificationKey = { publicKey: Buffer; signCount: number; backupEligible: boolean };

/** What an assertion says of its passkey. */
export type PasskeyUse = { signCount: number; backedUp: boolean };

// An RSA key of 8,192 bits; the library takes those of any size.
const MAX_KEY_BYTES = 1100;
const MAX_CREDENTIAL_ID_BYTES = 1023;
const TRANSPORT = /^[a-z][a-z-]{0,31}$/;

// Loaded with the first passkey: it takes memory and time that a service without passkeys does not need.
let loading: ReturnType<typeof load> | undefined;
const load = async () => ({
  ...(await import('@simplewebauthn/server')),
  ...(await import('@simplewebauthn/server/helpers')),
});
const library = () => {
  loading ??= load();
  return loading;
};

/**
 * Verifies a registration (WebAuthn Level 3 §7.1) whose challenge and origin are right.
 *
 * @returns `undefined` when it is not accepted
 */
export async function verifyRegistration(
  { id, rawId, type, response }: PasskeyRegistration,
  { challenge, origin }: ClientData,
  { rpId }: RelyingParty,
): Promise<NewPasskey | undefined> {
  const { verifyRegistrationResponse, decodeAttestationObject, isoBase64URL, isoCBOR } = await library();
  try {
    // Attestation is neither asked for nor looked at, so no certificate of a caller is ever parsed.
    const attested = decodeAttestationObject(isoBase64URL.toBuffer(response.attestationObject));
    const unattested = new Map<string, unknown>([
      ['fmt', 'none'],
      ['attStmt', new Map()],
      ['authData', attested.get('authData')],
    ]);
    const attestationObject = isoBase64URL.fromBuffer(isoCBOR.encode(unattested as never));
    const { verified, registrationInfo } = await verifyRegistrationResponse({
      response: {
        ...{ id, rawId, type, clientExtensionResults: {} },
        response: { clientDataJSON: response.clientDataJSON, attestationObject },
      },
      expectedChallenge: challenge,
      expectedOrigin: [origin],
      expectedRPID: [rpId],
      supportedAlgorithmIDs: ALGORITHMS,
    });
    if (!verified || registrationInfo.credential.id !== id) return undefined;
    const { credential, credentialDeviceType, credentialBackedUp } = registrationInfo;
    const credentialId = Buffer.from(credential.id, 'base64url');
    const publicKey = Buffer.from(credential.publicKey);
    if (publicKey.length > MAX_KEY_BYTES || credentialId.length > MAX_CREDENTIAL_ID_BYTES) return undefined;
    return {
      ...{ credentialId, publicKey, signCount: credential.counter, backedUp: credentialBackedUp },
      backupEligible: credentialDeviceType === 'multiDevice',
      // Those of later versions of WebAuthn are kept as well: they are for browsers.
      transports: [...new Set(response.transports?.filter(transport => TRANSPORT.test(transport)))],
    };
  } catch {
    // The library throws for whatever it does not accept.
    return undefined;
  }
}

/**
 * Verifies an assertion (WebAuthn Level 3 §7.2) whose challenge and origin are right.
 *
 * @returns `undefined` when it is not accepted
 */
export async function verifyAssertion(
  { id, rawId, type, response }: PasskeyAssertion,
  { challenge, origin }: ClientData,
  { rpId }: RelyingParty,
  { publicKey, signCount, backupEligible }: VerificationKey,
): Promise<PasskeyUse | undefined> {
  const { verifyAuthenticationResponse } = await library();
  const { clientDataJSON, authenticatorData, signature } = response;
  try {
    const { verified, authenticationInfo } = await verifyAuthenticationResponse({
      response: {
        ...{ id, rawId, type, clientExtensionResults: {} },
        response: { clientDataJSON, authenticatorData, signature },
      },
      expectedChallenge: challenge,
      expectedOrigin: [origin],
      expectedRPID: [rpId],
      credential: { id, publicKey: new Uint8Array(publicKey), counter: signCount },
    });
    const isEligible = authenticationInfo.credentialDeviceType === 'multiDevice';
    if (!verified || isEligible !== backupEligible) return undefined;
    return { signCount: authenticationInfo.newCounter, backedUp: authenticationInfo.credentialBackedUp };
  } catch {
    return undefined;
  }
}
