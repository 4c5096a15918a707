import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
} from 'node:crypto';
import type { PublicJwk } from '@latchkey/user-schema';
import { deriveKey, type Secret, type Secrets } from './secrets.js';

/** A signing key as it rests in the database. */
export type SealedKey = { kid: string; publicJwk: PublicJwk; sealedPrivateKey: Buffer; secretId: string };

/** A signing key ready for use: both halves as PEM. */
export type SigningKey = { kid: string; publicJwk: PublicJwk; privatePem: string; publicPem: string };

const IV_BYTES = 12;
const TAG_BYTES = 16;

/** Makes a P-256 key for ES256 (RFC 7518 §3.4), its private half sealed by the secret. */
export function generateSealedKey(secret: Secret): SealedKey {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { kty, crv, x, y } = publicKey.export({ format: 'jwk' }) as Record<'kty' | 'crv' | 'x' | 'y', string>;
  // RFC 7638 §3: the required members in alphabetical order.
  const kid = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
  return {
    kid,
    publicJwk: { kty, crv, x, y, kid, alg: 'ES256', use: 'sig' },
    sealedPrivateKey: seal(privateKey.export({ format: 'der', type: 'pkcs8' }), kid, secret),
    secretId: secret.id,
  };
}

/**
 * Opens a signing key.
 *
 * @throws Error when the secret that sealed it is not at hand, or is not the same any more
 */
export function openKey({ kid, publicJwk, sealedPrivateKey, secretId }: SealedKey, secrets: Secrets): SigningKey {
  const secret = secrets.find(({ id }) => id === secretId);
  if (!secret) {
    throw new Error(
      `The signing key ${kid} is sealed by the secret "${secretId}", which is not in AUTH_SECRETS. Add it.`,
    );
  }
  const privateKey = createPrivateKey({ key: unseal(sealedPrivateKey, kid, secret), format: 'der', type: 'pkcs8' });
  return {
    kid,
    publicJwk,
    privatePem: privateKey.export({ format: 'pem', type: 'pkcs8' }) as string,
    publicPem: createPublicPem(publicJwk),
  };
}

function createPublicPem(jwk: PublicJwk): string {
  return createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'pem', type: 'spki' }) as string;
}

// AES-256-GCM, laid out as iv, tag, ciphertext. The kid is authenticated too, so sealed keys cannot be swapped.
function seal(plain: Buffer, kid: string, secret: Secret): Buffer {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', deriveKey(secret, 'signing-key-sealing'), iv).setAAD(Buffer.from(kid));
  const text = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), text]);
}

function unseal(sealed: Buffer, kid: string, secret: Secret): Buffer {
  const iv = sealed.subarray(0, IV_BYTES);
  const tag = sealed.subarray(IV_BYTES, IV_BYTES + TAG_BYTES);
  const key = deriveKey(secret, 'signing-key-sealing');
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(kid)).setAuthTag(tag);
  try {
    return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]);
  } catch (cause) {
    const advice = 'Put back the value that AUTH_SECRETS had for it.';
    throw new Error(
      `The secret "${secret.id}" does not open the signing key ${kid}: its value has changed. ${advice}`,
      { cause },
    );
  }
}
