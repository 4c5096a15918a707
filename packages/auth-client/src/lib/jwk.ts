import { createPublicKey, type KeyObject } from 'node:crypto';
import { PublicJwk, type SigningAlgorithm } from '@latchkey/user-schema';
import { conforms } from './schema-check.js';

/** A public key that tokens can be verified with. */
export type VerificationKey = {
  kid: string;
  alg: SigningAlgorithm;
  pem: string;
};

// RFC 7518 §3.3.
const MIN_RSA_BITS = 2048;

/** Reads a key of a JWK set; `undefined` when it cannot verify tokens, since such keys are to be ignored (RFC 7517 §5). */
export function readKey(value: unknown): VerificationKey | undefined {
  if (!conforms(PublicJwk, value)) return undefined;
  try {
    const key = createPublicKey({ key: value, format: 'jwk' });
    if (!fitsAlgorithm(key, value.alg)) return undefined;
    return { kid: value.kid, alg: value.alg, pem: key.export({ format: 'pem', type: 'spki' }) as string };
  } catch {
    return undefined;
  }
}

/** Whether a key is one of the algorithm (RFC 7518 §3.1, RFC 8037 §3.1). */
function fitsAlgorithm({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject, alg: string): boolean {
  if (alg === 'ES256') return type === 'ec' && details?.namedCurve === 'prime256v1';
  if (alg === 'EdDSA') return type === 'ed25519';
  return alg === 'RS256' && type === 'rsa' && (details?.modulusLength ?? 0) >= MIN_RSA_BITS;
}
