import { createHash, timingSafeEqual } from 'node:crypto';

export const hashClientSecret = (secret: string): Buffer => createHash('sha256').update(secret).digest();

/** Whether a secret is one of those whose hashes are given. */
export function isClientSecret(secret: string, hashes: Buffer[]): boolean {
  const hash = hashClientSecret(secret);
  return hashes.some(known => timingSafeEqual(known, hash));
}
