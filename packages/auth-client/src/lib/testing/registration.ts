import { randomBytes, randomUUID } from 'node:crypto';
import { type PasskeyCreationOptions, PasskeyRegistration } from '@latchkey/user-schema';
import { type TObject, type TOptional, type TString, Type } from '@sinclair/typebox';
import type { TestPasskey } from './factors.js';
import { ProblemError } from './problems.js';
import { type IssuerState, Name } from './requests.js';
import { readRegistration } from './webauthn.js';

/** The body that has a new passkey. */
export const NewPasskey: TObject<{ response: typeof PasskeyRegistration; name: TOptional<TString> }> = Type.Object(
  { response: PasskeyRegistration, name: Type.Optional(Name) },
  { additionalProperties: false },
);

const ALGORITHMS = [-7, -8, -257];
const TIMEOUT_MS = 300_000;
const HANDLE_BYTES = 32;

export function creationOptions(
  { rpId }: IssuerState,
  challenge: string,
  { handle, username, passkeys }: { handle: string; username: string; passkeys: TestPasskey[] },
): PasskeyCreationOptions {
  return {
    rp: { id: rpId, name: 'Latchkey' },
    user: { id: handle, name: username, displayName: username },
    challenge,
    pubKeyCredParams: ALGORITHMS.map(alg => ({ type: 'public-key', alg })),
    timeout: TIMEOUT_MS,
    excludeCredentials: passkeys.map(({ credentialId: id }) => ({ id, type: 'public-key' })),
    authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
    attestation: 'none',
  };
}

/** @throws ProblemError */
export function register({ rpId }: IssuerState, response: PasskeyRegistration, name = 'Passkey'): TestPasskey {
  try {
    const registration = readRegistration(response, rpId);
    return { ...registration, id: randomUUID(), name, createdAt: new Date().toISOString(), lastUsedAt: null };
  } catch {
    // Whatever the caller has sent, it is no passkey.
    throw passkeyRejected();
  }
}

export function newHandle(): string {
  return randomBytes(HANDLE_BYTES).toString('base64url');
}

export function passkeyRejected(): ProblemError {
  return new ProblemError(400, 'invalid_passkey', 'The passkey is not accepted.');
}
