import { SignUpHeaders } from '@latchkey/user-schema';
import { conforms } from './schema-check.js';

/**
 * The header that names a call by a key, a random one by default.
 *
 * @throws TypeError when the key cannot be one
 */
export function keyHeaders(key: string = randomKey()): { 'idempotency-key': string } {
  const headers = { 'idempotency-key': `"${key.replace(/["\\]/g, '\\$&')}"` };
  if (!conforms(SignUpHeaders, headers))
    throw new TypeError('idempotencyKey must be 1 to 255 visible ASCII characters');
  return headers;
}

/** Not randomUUID(), which browsers lack where a page came without TLS. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('');
}
