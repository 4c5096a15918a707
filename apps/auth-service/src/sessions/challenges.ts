import { createHash, randomUUID } from 'node:crypto';
import type { Queryable } from '@latchkey/service-kit/database';
import { seal, unseal } from '../config/sealing.js';
import type { Secrets } from '../config/secrets.js';
import { statement } from '../database/sql.js';

/** How long a challenge is good for, in seconds. */
export const CHALLENGE_TTL_S = 300;

/** What each kind of challenge is about. A challenge of one kind is none of another. */
export type ChallengeKinds = {
  /** A sign-in whose first factor is proved. */
  'second-factor': { accountId: string; credentialVersion: number; amr: readonly string[]; username: string };
  /** A passkey for a sign-in, of whatever account. */
  'passkey-sign-in': Record<never, never>;
  /** A passkey as the second factor of a sign-in, of which this is the challenge's id. */
  'passkey-second-factor': { accountId: string; of: string };
  /** A passkey that its owner proves again in a session. */
  'passkey-step-up': { accountId: string; sessionId: string };
  /** A passkey that is added in a session. */
  'passkey-registration': { accountId: string; sessionId: string; handle: string };
  /** A passkey with which an account is made. */
  'passkey-sign-up': { accountId: string; username: string; email: string | null; handle: string };
};
export type ChallengeKind = keyof ChallengeKinds;

/** A challenge that was opened. */
export type Challenge<Kind extends ChallengeKind> = ChallengeKinds[Kind] & { id: string; hash: Buffer };

/** Challenges that are sealed and not stored: to make one writes nothing. */
export type Challenges = {
  /** Makes a challenge, as base64url. */
  make<Kind extends ChallengeKind>(kind: Kind, about: ChallengeKinds[Kind]): string;
  /** Opens a challenge; `undefined` when it has expired, is of another kind or was made up. */
  open<Kind extends ChallengeKind>(kind: Kind, challenge: string): Challenge<Kind> | undefined;
};

const FORM = /^[\w-]{1,4096}$/;
const MAX_ID_BYTES = 32;

/** Seals and opens challenges with the secrets of the service. A challenge begins with the id of its secret. */
export function createChallenges(secrets: Secrets): Challenges {
  const [current] = secrets;
  return {
    make(kind, about) {
      const content = { ...about, id: randomUUID(), exp: Date.now() + CHALLENGE_TTL_S * 1000 };
      const sealed = seal(Buffer.from(JSON.stringify(content)), current, {
        purpose: 'challenge-sealing',
        context: kind,
      });
      const secretId = Buffer.from(current.id);
      return Buffer.concat([Buffer.of(secretId.length), secretId, sealed]).toString('base64url');
    },
    open(kind, challenge) {
      if (!FORM.test(challenge)) return undefined;
      const bytes = Buffer.from(challenge, 'base64url');
      const [length = 0] = bytes;
      if (length > MAX_ID_BYTES) return undefined;
      const secretId = bytes.subarray(1, 1 + length).toString();
      try {
        const about = { purpose: 'challenge-sealing', context: kind, name: 'challenge', advice: '' } as const;
        const content = JSON.parse(unseal(bytes.subarray(1 + length), secretId, secrets, about).toString());
        const hash = createHash('sha256').update(bytes).digest();
        return content.exp > Date.now() ? { ...content, hash } : undefined;
      } catch {
        // Whatever a caller has made of it, it is none of ours.
        return undefined;
      }
    },
  };
}

/**
 * SQL that uses a challenge up, for the WITH of the statement that does what it is for, as the query `used_challenge`: of one row when
 * the challenge had not been used before. Its parameter is `$challengeHash`.
 *
 * @param account - what follows FROM: one row with the `id` of the account
 */
// Kept for longer than it is good for, because the clocks of replicas differ.
export const usedChallenge = (account: string) => `used_challenge AS (
  INSERT INTO auth.used_challenges (account_id, challenge_hash, expires_at)
  SELECT a.id, $challengeHash::bytea, now() + make_interval(secs => ${2 * CHALLENGE_TTL_S}) FROM ${account} AS a
  ON CONFLICT DO NOTHING RETURNING account_id
)`;

const USE = statement<{ used: boolean }, { accountId: string; challengeHash: Buffer }>(
  `WITH ${usedChallenge('(SELECT $accountId::uuid AS id)')} SELECT true AS used FROM used_challenge`,
);

/**
 * Uses a challenge up, in the transaction that does what it is for. Of several uses at once, one gets it.
 *
 * @returns whether it had not been used before
 */
export async function useChallenge(db: Queryable, accountId: string, { hash }: { hash: Buffer }): Promise<boolean> {
  return (await USE(db, { accountId, challengeHash: hash })).length > 0;
}

/** Deletes up to `batch` used challenges that have expired; returns how many. */
export async function deleteOldChallenges(db: Queryable, batch: number): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM auth.used_challenges WHERE (account_id, challenge_hash) IN (
       SELECT account_id, challenge_hash FROM auth.used_challenges WHERE expires_at <= now() ORDER BY expires_at LIMIT $1
     )`,
    [batch],
  );
  return rowCount ?? 0;
}
