import { hkdfSync, randomBytes } from 'node:crypto';

/** One of `AUTH_SECRETS`. */
export type Secret = { id: string; key: Buffer };

/** The secrets in order; the first is the current one, the others still open what they once closed. */
export type Secrets = [current: Secret, ...older: Secret[]];

const ENTRY = /^([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/]+={0,2})$/;
const MIN_BYTES = 32;

/**
 * Reads `id:base64,id:base64,…`.
 *
 * @throws Error that says which entry is wrong, never what it holds
 */
export function parseSecrets(text: string): Secrets {
  const secrets = text.split(',').map((entry, index) => {
    const match = ENTRY.exec(entry.trim());
    if (!match) throw new Error(`entry ${index + 1} is not of the form id:base64 (id: A-Z a-z 0-9 _ -)`);
    const [, id = '', base64 = ''] = match;
    const key = Buffer.from(base64, 'base64');
    if (key.length < MIN_BYTES) throw new Error(`the secret of "${id}" is shorter than ${MIN_BYTES} bytes`);
    return { id, key };
  });
  if (new Set(secrets.map(secret => secret.id)).size !== secrets.length) throw new Error('an id is there twice');
  return secrets as Secrets;
}

/** What a key is derived for; a key for one purpose says nothing about the others. */
export type Purpose =
  | 'challenge-sealing'
  | 'mail-sealing'
  | 'password-pepper'
  | 'refresh-mac'
  | 'signing-key-sealing'
  | 'throttle-keys'
  | 'totp-sealing';

/** Derives a 256-bit key from a secret (HKDF with SHA-256, RFC 5869). */
export function deriveKey(secret: Secret, purpose: Purpose): Buffer {
  return Buffer.from(hkdfSync('sha256', secret.key, '', `latchkey:${purpose}`, 32));
}

const CLIENT_SECRET_BYTES = 32;

/** Makes a client secret: 256 random bits behind a prefix that secret scanners can look for. */
export const newClientSecret = (): string => `latchkey_${randomBytes(CLIENT_SECRET_BYTES).toString('base64url')}`;
