import { createHash, randomBytes } from 'node:crypto';

/** What a link in a mail is good for. */
export type Purpose = 'verify-email' | 'reset-password' | 'sign-up';

const ID_BYTES = 16;
const RANDOM_BYTES = 32;
const FORM = /^[\w-]{64}$/;

/** A new token, which names its account, so that it is found there, and has 256 random bits. */
export function newToken(accountId: string): string {
  const id = Buffer.from(accountId.replaceAll('-', ''), 'hex');
  return Buffer.concat([id, randomBytes(RANDOM_BYTES)]).toString('base64url');
}

/** The account that a token names, and the hash that its row has; `undefined` when the text has another form. */
export function parseToken(token: string): { accountId: string; tokenHash: Buffer } | undefined {
  if (!FORM.test(token)) return undefined;
  const hex = Buffer.from(token, 'base64url').subarray(0, ID_BYTES).toString('hex');
  const accountId = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  return { accountId, tokenHash: hashToken(token) };
}

/** SHA-256 suffices: a token cannot be guessed. */
export const hashToken = (token: string): Buffer => createHash('sha256').update(token).digest();
