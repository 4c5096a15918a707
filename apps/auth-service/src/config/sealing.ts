import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { deriveKey, type Purpose, type Secret, type Secrets } from './secrets.js';

/** What a seal is for. */
type Seal = {
  purpose: Purpose;
  /** Authenticated with the seal, so that what is sealed for one row cannot be moved to another. */
  context: string;
};

const IV_BYTES = 12;
const TAG_BYTES = 16;

/** Seals with AES-256-GCM by a key that is derived from the secret; laid out as iv, tag, ciphertext. */
export function seal(plain: Buffer, secret: Secret, { purpose, context }: Seal): Buffer {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', deriveKey(secret, purpose), iv).setAAD(Buffer.from(context));
  const text = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), text]);
}

/**
 * Opens what {@link seal} has sealed.
 *
 * @param secretId of the secret that has sealed it
 * @param name of what is sealed, for errors, with what to do when its secret is not there
 * @throws Error when the secret is not in AUTH_SECRETS, or has another value there
 */
export function unseal(
  sealed: Buffer,
  secretId: string,
  secrets: Secrets,
  { purpose, context, name, advice }: Seal & { name: string; advice: string },
): Buffer {
  const secret = secrets.find(({ id }) => id === secretId);
  if (!secret) {
    throw new Error(`The ${name} is sealed by the secret "${secretId}", which is not in AUTH_SECRETS. ${advice}`);
  }
  const iv = sealed.subarray(0, IV_BYTES);
  const tag = sealed.subarray(IV_BYTES, IV_BYTES + TAG_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', deriveKey(secret, purpose), iv, { authTagLength: TAG_BYTES });
  try {
    decipher.setAAD(Buffer.from(context)).setAuthTag(tag);
    return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]);
  } catch (cause) {
    throw new Error(
      `The secret "${secretId}" does not open the ${name}: its value has changed. Put back the value that AUTH_SECRETS had for it.`,
      { cause },
    );
  }
}
