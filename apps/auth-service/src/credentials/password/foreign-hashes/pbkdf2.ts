import { pbkdf2Sync } from 'node:crypto';
import type { Scheme, Settings } from './scheme.js';

/** So many iterations take as long as a round of bcrypt. Processors compute SHA-1 and SHA-256 in hardware, mostly. */
export const ITERATIONS_A_ROUND = { sha1: 200, sha256: 200, sha384: 90, sha512: 90 };

// Longer digests are made of independent blocks (RFC 8018 §5.2). The first proves as much, and each takes all iterations.
const BLOCK_BYTES: Record<string, number> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 };

const read =
  (separator: string) =>
  ([digest = 'sha1', iterations = '']: string[]): Settings => ({
    scheme: `pbkdf2${separator}${digest}`,
    cost: iterations,
    rounds:
      Number(iterations) / ITERATIONS_A_ROUND[digest as keyof typeof ITERATIONS_A_ROUND] || Number.POSITIVE_INFINITY,
    memoryBytes: 0,
    derive: (password, salt, length) =>
      pbkdf2Sync(password, salt, Number(iterations), Math.min(length, BLOCK_BYTES[digest] as number), digest),
  });

/** Django's default. */
export const djangoPbkdf2: Scheme = {
  head: 'pbkdf2_(sha1|sha256)\\$(\\d{1,9})\\$',
  salt: 'utf8',
  digest: 'base64',
  read: read('_'),
};

/** Werkzeug's, and so Flask's, default before 3.0. */
export const werkzeugPbkdf2: Scheme = {
  head: 'pbkdf2:(sha1|sha256|sha384|sha512):(\\d{1,9})\\$',
  salt: 'utf8',
  digest: 'hex',
  read: read(':'),
};

/** passlib's, which names no SHA-1. Those of Spring and Keycloak are stored so too. */
export const passlibPbkdf2: Scheme = {
  head: '\\$pbkdf2(?:-(sha256|sha512))?\\$(\\d{1,9})\\$',
  salt: 'ab64',
  digest: 'ab64',
  read: read('-'),
};
