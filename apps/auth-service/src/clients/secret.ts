import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

const SECRET_BYTES = 32;

/** Makes a client secret: 256 random bits behind a prefix that secret scanners can look for. */
export const newClientSecret = (): string => `latchkey_${randomBytes(SECRET_BYTES).toString('base64url')}`;

export const hashClientSecret = (secret: string): Buffer => createHash('sha256').update(secret).digest();

/** Whether a secret is one of those whose hashes are given. */
export function isClientSecret(secret: string, hashes: Buffer[]): boolean {
  const hash = hashClientSecret(secret);
  return hashes.some(known => timingSafeEqual(known, hash));
}
