import { createHash, createHmac } from 'node:crypto';
import bcrypt from 'bcrypt';
import type { Scheme } from './scheme.js';

const MIN_COST = 4;
const DIGEST_LENGTH = 31;

/** passlib's `bcrypt_sha256`: bcrypt of the password's SHA-256, since version 2 keyed with the salt. */
export const passlibBcrypt: Scheme = {
  head: '\\$bcrypt-sha256\\$(v=2,t=)?2[ab],(?:r=)?(\\d{1,2})\\$',
  salt: 'utf8',
  digest: 'utf8',
  minSaltBytes: 22,
  read([version, cost = '']) {
    return {
      scheme: 'bcrypt-sha256',
      cost,
      rounds: Number(cost) >= MIN_COST ? 2 ** Number(cost) : Number.POSITIVE_INFINITY,
      memoryBytes: 0,
      derive(password, salt, length) {
        const hash = version === undefined ? createHash('sha256') : createHmac('sha256', salt);
        const settings = `$2b$${cost.padStart(2, '0')}$${salt}`;
        const digest = bcrypt.hashSync(hash.update(password).digest('base64'), settings).slice(-DIGEST_LENGTH);
        return Buffer.from(digest.padEnd(length).slice(0, length));
      },
    };
  },
};
