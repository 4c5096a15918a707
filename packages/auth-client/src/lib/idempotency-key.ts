import { SignUpHeaders } from '@latchkey/user-schema';
import { conforms } from './schema-check.js';

/**
 * The header `Idempotency-Key` of a request, with a random key by default.
 *
 * @throws TypeError when the key is not 1 to 255 visible ASCII characters
 */
export function idempotencyHeaders(key: string = randomKey()): { 'idempotency-key': string } {
  const headers = { 'idempotency-key': `"${key.replace(/["\\]/g, '\\$&')}"` };
  if (!conforms(SignUpHeaders, headers))
    throw new TypeError('idempotencyKey must be 1 to 255 visible ASCII characters');
  return headers;
}

/** Not randomUUID(), which browsers offer in secure contexts only. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('');
}
