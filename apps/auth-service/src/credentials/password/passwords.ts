import { createHash, createHmac, randomInt } from 'node:crypto';
import bcrypt from 'bcrypt';
import { deriveKey, type Secrets } from '../../config/secrets.js';
import { readForeignHash } from './foreign-hashes/index.js';
import type { HashCaller, HashLane } from './hash-lane.js';
import { type BcryptHash, readBcryptHash } from './stored-hash.js';

/** What comparing a password with a stored hash showed. */
export type Verdict = {
  matches: boolean;
  /** The stored form is behind in scheme, pepper or cost: hash the password again. */
  outdated: boolean;
  /** The row was peppered with a secret that is no longer in `AUTH_SECRETS`, so nothing can match it. */
  unknownPepper?: string;
};

export type Passwords = {
  /** Hashes a password with the current pepper and cost. Rejects as {@link HashLane.run} does, like the next. */
  hash(password: string, caller: HashCaller): Promise<string>;
  /** Compares a password with a stored hash; with none, does the same work and resolves to a verdict that does not match. */
  verify(password: string, stored: string | null | undefined, caller: HashCaller): Promise<Verdict>;
  /** Makes every comparison cost as much as the row with the highest cost, from now on. */
  matchCost(highestStored: number): void;
};

const BCRYPT_BYTES = 72;
// A row beyond it, which nothing here writes, would keep a thread for minutes.
const MAX_COST = 20;

/**
 * Hashes and verifies passwords with bcrypt over an HMAC.
 *
 * bcrypt reads 72 bytes and stops at NUL, so it gets base64(HMAC-SHA-384(pepper, password)): 64 characters that stand
 * for the whole password and are worthless to guess against without the pepper.
 *
 * Every comparison takes the time of the row with the highest cost, so that its time does not tell whether an account exists
 * or how old its hash is: a row of a lower cost `c` is followed by hashes for nothing of the costs `c`, `c + 1`, … below the
 * highest, and 2^c + 2^c + 2^(c+1) + … is 2^highest. A row that other software made is followed by as many as fill the
 * time; one that takes longer by itself stands out until its first sign-in.
 *
 * @param secrets their derived peppers; the first is used for new hashes
 * @param cost bcrypt's cost, the base-2 logarithm of its rounds
 */
export function createPasswords(secrets: Secrets, cost: number, lane: HashLane): Passwords {
  const peppers = new Map(secrets.map(secret => [secret.id, deriveKey(secret, 'password-pepper')]));
  const current = secrets[0].id;
  let highest = cost;
  let decoy = randomHash(cost);

  const pepper = (id: string, password: string) => {
    const key = peppers.get(id);
    return key && createHmac('sha384', key).update(password, 'utf8').digest('base64');
  };
  const inputFor = ({ scheme, pepperId }: BcryptHash, password: string) => {
    if (pepperId !== undefined) return pepper(pepperId, password);
    return scheme === 'bcrypt_sha256' ? createHash('sha256').update(password, 'utf8').digest('hex') : password;
  };
  const matchCost = (highestStored: number) => {
    const wanted = Math.max(cost, Math.min(highestStored, MAX_COST));
    if (wanted === highest) return;
    highest = wanted;
    decoy = randomHash(highest);
  };
  const paddings = (from: number) => {
    return Array.from({ length: highest - from }, (_, i) => bcrypt.genSaltSync(from + i));
  };

  return {
    matchCost,

    async hash(password, caller) {
      const input = pepper(current, password) as string;
      return `$bcrypt-hmac-sha384$k=${current}${await lane.run({ kind: 'hash', input, cost }, cost, caller)}`;
    },

    async verify(password, stored, caller) {
      const row = readBcryptHash(stored ?? '');
      const input = row && inputFor(row, password);
      if (row && input !== undefined && row.cost <= MAX_COST) {
        if (row.cost > highest) matchCost(row.cost);
        const task = { kind: 'compare', input, stored: row.hash, paddings: paddings(row.cost) } as const;
        const matches = (await lane.run(task, highest, caller)) === true;
        // Plain bcrypt reads 72 bytes: what was typed behind them is unknown, and must not become the password.
        const isWhole = row.scheme !== 'bcrypt' || Buffer.byteLength(password) <= BCRYPT_BYTES;
        return { matches, outdated: isWhole && (row.pepperId !== current || row.cost < cost) };
      }
      const foreign = readForeignHash(stored ?? '');
      if (stored && foreign && !foreign.excess) {
        const task = { kind: 'compare-foreign', input: password, stored, costsLike: highest } as const;
        const matches = (await lane.run(task, Math.max(highest, Math.log2(foreign.rounds)), caller)) === true;
        return { matches, outdated: true };
      }
      const nothing = pepper(current, password) as string;
      await lane.run({ kind: 'compare', input: nothing, stored: decoy, paddings: [] }, highest, caller);
      return { matches: false, outdated: false, ...(row?.pepperId !== undefined && { unknownPepper: row.pepperId }) };
    },
  };
}

/** A well-formed hash of nothing: comparing with it costs what a real one costs. */
function randomHash(cost: number): string {
  const alphabet = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
  const digest = Array.from({ length: 31 }, () => alphabet[randomInt(alphabet.length)]).join('');
  return bcrypt.genSaltSync(cost) + digest;
}
