import { createCipheriv, scryptSync } from 'node:crypto';
import { ITERATIONS_A_ROUND } from './pbkdf2.js';
import type { Scheme, Settings } from './scheme.js';

const BLOCKS_A_ROUND = 110;
// PBKDF2 makes 128 bytes of each, 32 at a time.
const ITERATIONS_A_BLOCK = 4;

type Parameters = { N: number; r: number; p: number };

/** What scrypt (RFC 7914) takes with these parameters; endless when there is no such thing. */
function burdenOf({ N, r, p }: Parameters): Pick<Settings, 'cost' | 'rounds' | 'memoryBytes'> {
  const possible = N >= 2 && Number.isInteger(Math.log2(N)) && Math.log2(N) < 16 * r && p >= 1;
  return {
    cost: `N=${N},r=${r},p=${p}`,
    rounds: possible
      ? r * p * (N / BLOCKS_A_ROUND + ITERATIONS_A_BLOCK / ITERATIONS_A_ROUND.sha256)
      : Number.POSITIVE_INFINITY,
    memoryBytes: 128 * r * Math.max(N, p),
  };
}

function scrypt(password: string, salt: Buffer, length: number, { N, r, p }: Parameters): Buffer {
  // OpenSSL rejects more than 32 MiB by default.
  return scryptSync(password, salt, length, { N, r, p, maxmem: 128 * r * (N + p + 2) + 2 ** 20 });
}

/** Werkzeug's, and so Flask's, default. */
export const werkzeugScrypt: Scheme = {
  head: 'scrypt:(\\d{1,9}):(\\d{1,9}):(\\d{1,9})\\$',
  salt: 'utf8',
  digest: 'hex',
  read(groups) {
    const [N = 0, r = 0, p = 0] = groups.map(Number);
    const derive: Settings['derive'] = (password, salt, length) => scrypt(password, salt, length, { N, r, p });
    return { scheme: 'scrypt', ...burdenOf({ N, r, p }), derive };
  },
};

/**
 * passlib's PHC string. Those of Django and Spring are stored so too, and as `scrypt-nfkc` those of Better Auth, which normalizes
 * passwords.
 */
export const phcScrypt: Scheme = {
  head: '\\$(scrypt|scrypt-nfkc)\\$ln=(\\d{1,2}),r=(\\d{1,3}),p=(\\d{1,3})\\$',
  salt: 'base64',
  digest: 'base64',
  read([scheme = '', ...numbers]) {
    const [ln = 0, r = 0, p = 0] = numbers.map(Number);
    const parameters = { N: 2 ** ln, r, p };
    const isNormalized = scheme === 'scrypt-nfkc';
    return {
      scheme,
      ...burdenOf(parameters),
      derive: (password, salt, length) =>
        scrypt(isNormalized ? password.normalize('NFKC') : password, salt, length, parameters),
    };
  },
};

/**
 * Firebase's: the project's signer key, encrypted with AES-256-CTR under what scrypt makes of the password.
 *
 * The stored form is our own. Its digest is the key stream alone, the hash XOR the signer key, which proves as much and
 * keeps that key out of the database; its salt ends with the project's salt separator.
 */
export const firebaseScrypt: Scheme = {
  head: '\\$firebase-scrypt\\$ln=(\\d{1,2}),r=(\\d{1,3})\\$',
  salt: 'base64',
  digest: 'base64',
  read(groups) {
    const [ln = 0, r = 0] = groups.map(Number);
    const parameters = { N: 2 ** ln, r, p: 1 };
    return {
      scheme: 'firebase-scrypt',
      ...burdenOf(parameters),
      derive(password, salt, length) {
        const key = scrypt(password, salt, 32, parameters);
        return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
      },
    };
  },
};

/** What a Firebase project hashes with: "password hash parameters" in its console. */
export type FirebaseProject = { signerKey: Buffer; saltSeparator: Buffer; rounds: number; memCost: number };

/** The stored form of a hash and a salt as Firebase exports them; `undefined` when they do not fit the project. */
export function toFirebaseHash(hash: Buffer, salt: Buffer, project: FirebaseProject): string | undefined {
  const { signerKey, saltSeparator, rounds, memCost } = project;
  if (hash.length !== signerKey.length) return undefined;
  const keyStream = hash.map((byte, i) => byte ^ (signerKey[i] as number));
  const [salted, stream] = [Buffer.concat([salt, saltSeparator]), Buffer.from(keyStream)];
  return `$firebase-scrypt$ln=${memCost},r=${rounds}$${salted.toString('base64')}$${stream.toString('base64')}`;
}
