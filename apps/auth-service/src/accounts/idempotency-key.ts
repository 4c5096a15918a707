import { createHash } from 'node:crypto';
import type { IdempotencyKey } from '@latchkey/user-schema';

/** What is kept of a key: people put all sorts of things into it. Quoted or not, it is the same key. */
export function hashKey(header: IdempotencyKey): Buffer {
  const key = header.startsWith('"') ? header.slice(1, -1).replace(/\\(.)/g, '$1') : header;
  return createHash('sha256').update(key).digest();
}
