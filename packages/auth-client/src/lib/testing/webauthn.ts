import { createHash, createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto';
import type { PasskeyAssertion, PasskeyRegistration } from '@latchkey/user-schema';
import { type CborValue, decodeCbor } from './cbor.js';
import type { TestPasskey } from './factors.js';

type ClientData = { type: string; challenge: string; origin: string; crossOrigin?: boolean; topOrigin?: string };
type AuthenticatorData = { counter: number; backupEligible: boolean; backedUp: boolean; attested: Buffer };
type CoseMap = Map<number | string, CborValue>;

// WebAuthn Level 3 §6.1: the hash of the RP id, the flags, the counter, and what is attested.
const FLAGS = { userPresent: 0x01, userVerified: 0x04, backupEligible: 0x08, backedUp: 0x10, attested: 0x40 };
const [FLAGS_AT, COUNTER_AT, ATTESTED_AT] = [32, 33, 37];
const AAGUID_BYTES = 16;

const sha256 = (data: Buffer | string) => createHash('sha256').update(data).digest();
const encode = (value: CborValue | undefined) => Buffer.from(value as Uint8Array).toString('base64url');

/** The challenge of a response of a browser; an empty one when the response is none. */
export function challengeOf({ response }: PasskeyRegistration | PasskeyAssertion): string {
  return readClientData(response.clientDataJSON)?.challenge ?? '';
}

/**
 * What a registration (WebAuthn Level 3 §7.1) says of its passkey. Any origin is accepted.
 *
 * @throws Error when it is not accepted
 */
export function readRegistration(
  { id, response }: PasskeyRegistration,
  rpId: string,
): Omit<TestPasskey, 'id' | 'name' | 'createdAt' | 'lastUsedAt'> {
  const attestation = decodeCbor(Buffer.from(response.attestationObject, 'base64url')).value as CoseMap;
  const data = readAuthenticatorData(Buffer.from(attestation.get('authData') as Uint8Array), rpId, FLAGS.attested);
  checkClientData(response.clientDataJSON, 'webauthn.create');
  const idLength = data.attested.readUInt16BE(AAGUID_BYTES);
  const idAt = AAGUID_BYTES + 2;
  const credentialId = data.attested.subarray(idAt, idAt + idLength).toString('base64url');
  if (credentialId !== id) throw new Error('The id is not that of the credential.');
  const { value } = decodeCbor(data.attested.subarray(idAt + idLength));
  const { counter, backedUp, backupEligible } = data;
  return { credentialId, counter, backedUp, backupEligible, ...readKey(value as CoseMap) };
}

/**
 * Checks an assertion by a passkey (WebAuthn Level 3 §7.2). Any origin is accepted.
 *
 * @throws Error when it is not accepted
 */
export function readAssertion(
  { response }: PasskeyAssertion,
  { publicKey, digest, counter: before, backupEligible: wasEligible }: TestPasskey,
  rpId: string,
): { counter: number; backedUp: boolean } {
  const authData = Buffer.from(response.authenticatorData, 'base64url');
  const { counter, backedUp, backupEligible } = readAuthenticatorData(authData, rpId);
  checkClientData(response.clientDataJSON, 'webauthn.get');
  if (backupEligible !== wasEligible) throw new Error('Whether a passkey can be copied does not change.');
  if (counter <= before && (counter > 0 || before > 0)) throw new Error('The counter has not advanced.');
  const signed = Buffer.concat([authData, sha256(Buffer.from(response.clientDataJSON, 'base64url'))]);
  const isSigned = verify(digest, signed, publicKey, Buffer.from(response.signature, 'base64url'));
  if (!isSigned) throw new Error('The signature is not valid.');
  return { counter, backedUp };
}

function readClientData(encoded: string): ClientData | undefined {
  try {
    return JSON.parse(Buffer.from(encoded, 'base64url').toString());
  } catch {
    return undefined;
  }
}

function checkClientData(encoded: string, type: string): void {
  const data = readClientData(encoded);
  const isFramed = data?.crossOrigin || data?.topOrigin !== undefined;
  if (data?.type !== type || isFramed) throw new Error(`The client data are not of ${type}.`);
}

function readAuthenticatorData(data: Buffer, rpId: string, more = 0): AuthenticatorData {
  const flags = data.readUInt8(FLAGS_AT);
  const needed = FLAGS.userPresent | FLAGS.userVerified | more;
  if (!data.subarray(0, FLAGS_AT).equals(sha256(rpId))) throw new Error('The relying party is another one.');
  if ((flags & needed) !== needed) throw new Error('The user was not verified.');
  return {
    counter: data.readUInt32BE(COUNTER_AT),
    backupEligible: (flags & FLAGS.backupEligible) !== 0,
    backedUp: (flags & FLAGS.backedUp) !== 0,
    attested: data.subarray(ATTESTED_AT),
  };
}

/** A COSE_Key (RFC 9053) of an algorithm that the service offers. */
function readKey(key: CoseMap): { publicKey: KeyObject; digest: string | null } {
  const [alg, first, second] = [key.get(3), key.get(-1), key.get(-2)];
  const jwk = (value: object) => createPublicKey({ format: 'jwk', key: value as JsonWebKey });
  if (alg === -7) {
    return { publicKey: jwk({ kty: 'EC', crv: 'P-256', x: encode(second), y: encode(key.get(-3)) }), digest: 'sha256' };
  }
  if (alg === -8) return { publicKey: jwk({ kty: 'OKP', crv: 'Ed25519', x: encode(second) }), digest: null };
  if (alg === -257) return { publicKey: jwk({ kty: 'RSA', n: encode(first), e: encode(second) }), digest: 'sha256' };
  throw new Error(`The algorithm ${alg} was not offered.`);
}
