// Refresh tokens as the service makes them, from the secret and the salt of the session's row: a reference must check and make one for
// each refresh as the service does, and a table of ten million sessions is filled by SQL.
import { createHash, createHmac, hkdfSync } from 'node:crypto';

/** What a token says before its MAC. */
type Head = { accountId: string; sessionId: string; generation: number };

/** A token, taken apart. The SHA-256 of the seed and the salt is the genuine MAC. */
export type RefreshToken = Head & { mac: Buffer; seed: Buffer };

/** Derives the key of the MACs from the first of `AUTH_SECRETS`. */
export function refreshTokenKey(secrets: string): Buffer {
  const [, base64 = ''] = /:([^,]+)/.exec(secrets) ?? [];
  return Buffer.from(hkdfSync('sha256', Buffer.from(base64, 'base64'), '', 'latchkey:refresh-mac', 32));
}

export function parseRefreshToken(key: Buffer, token: string): RefreshToken {
  const [accountId = '', sessionId = '', generation, mac] = token.split('.');
  if (mac === undefined) throw new Error('A refresh token is no longer account.session.generation.MAC.');
  const head = { accountId, sessionId, generation: Number(generation) };
  return { ...head, mac: Buffer.from(mac, 'base64url'), seed: seedOf(key, head) };
}

export function issueRefreshToken(key: Buffer, head: Head, salt: Buffer): string {
  const mac = createHash('sha256').update(seedOf(key, head)).update(salt).digest('base64url');
  return `${textOf(head)}.${mac}`;
}

const seedOf = (key: Buffer, head: Head) => createHmac('sha256', key).update(textOf(head)).digest();

const textOf = ({ accountId, sessionId, generation }: Head) => `${accountId}.${sessionId}.${generation}`;
