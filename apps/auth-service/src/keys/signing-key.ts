import { createHash, createPrivateKey, createPublicKey, generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import type { PublicJwk, SigningAlgorithm } from '@latchkey/user-schema';
import { seal, unseal } from '../config/sealing.js';
import type { Secret, Secrets } from '../config/secrets.js';

/** A signing key as it is stored. */
export type SealedKey = { kid: string; publicJwk: PublicJwk; sealedPrivateKey: Buffer; secretId: string };

const RSA_BITS = 2048;

const generate = promisify(generateKeyPair);
const generators = {
  ES256: () => generate('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generate('ed25519'),
  RS256: () => generate('rsa', { modulusLength: RSA_BITS }),
};

/** Makes a key (RFC 7518 §3.3, §3.4; RFC 8037 §3.1), its private half sealed by the secret. */
export async function generateSealedKey(algorithm: SigningAlgorithm, secret: Secret): Promise<SealedKey> {
  const key = await generateKey(algorithm, secret);
  // `latchkey keys retire` would take a kid that begins with `-` for an option.
  return key.kid.startsWith('-') ? generateSealedKey(algorithm, secret) : key;
}

async function generateKey(algorithm: SigningAlgorithm, secret: Secret): Promise<SealedKey> {
  const { publicKey, privateKey } = await generators[algorithm]();
  // The members that RFC 7638 §3.2 requires for the kind of key …
  const members = publicKey.export({ format: 'jwk' }) as Pick<PublicJwk, 'kty' | 'crv' | 'x' | 'y' | 'n' | 'e'>;
  // … in alphabetical order, as it demands.
  const sorted = Object.fromEntries(Object.entries(members).sort(([a], [b]) => (a < b ? -1 : 1)));
  const kid = createHash('sha256').update(JSON.stringify(sorted)).digest('base64url');
  return {
    kid,
    publicJwk: { ...members, kid, alg: algorithm, use: 'sig' },
    sealedPrivateKey: seal(privateKey.export({ format: 'der', type: 'pkcs8' }), secret, sealOf(kid)),
    secretId: secret.id,
  };
}

/** The public half as PEM. */
export function publicPem(jwk: PublicJwk): string {
  return createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'pem', type: 'spki' }) as string;
}

/**
 * Opens a signing key: its private half as PEM.
 *
 * @throws Error when the secret that sealed it is not in AUTH_SECRETS, or has another value there
 */
export function openKey({ kid, sealedPrivateKey, secretId }: SealedKey, secrets: Secrets): string {
  const advice = 'Add it, or retire the key.';
  const der = unseal(sealedPrivateKey, secretId, secrets, { ...sealOf(kid), name: `signing key ${kid}`, advice });
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return key.export({ format: 'pem', type: 'pkcs8' }) as string;
}

/**
 * Seals a key again, by the current secret.
 *
 * @throws Error as {@link openKey}
 */
export function resealKey(key: SealedKey, secrets: Secrets): SealedKey {
  const der = createPrivateKey(openKey(key, secrets)).export({ format: 'der', type: 'pkcs8' });
  return { ...key, sealedPrivateKey: seal(der, secrets[0], sealOf(key.kid)), secretId: secrets[0].id };
}

// The kid is authenticated too, so sealed keys cannot be swapped.
const sealOf = (kid: string) => ({ purpose: 'signing-key-sealing', context: kid }) as const;
