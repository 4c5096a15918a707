import { createHmac, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';

/** How long a challenge is good for, in seconds. */
export const CHALLENGE_TTL_S = 300;

/** What each kind of challenge is about. A challenge of one kind is none of another. */
export type ChallengeKinds = {
  'second-factor': { accountId: string; credentialVersion: number; amr: string[] };
  'passkey-sign-in': Record<never, never>;
  'passkey-second-factor': { accountId: string; of: string };
  'passkey-step-up': { accountId: string; sessionId: string };
  'passkey-registration': { accountId: string; sessionId: string; handle: string };
  'passkey-sign-up': { username: string; email: string | undefined; handle: string };
};

export type Challenge<Kind extends keyof ChallengeKinds> = ChallengeKinds[Kind] & { id: string };

/** Challenges that are signed and not kept, as the service's. Only those that were used are kept. */
export type Challenges = {
  /** Makes a challenge, as base64url. */
  make<Kind extends keyof ChallengeKinds>(kind: Kind, about: ChallengeKinds[Kind]): string;
  /** Opens a challenge; `undefined` when it has expired, is of another kind or was made up. */
  open<Kind extends keyof ChallengeKinds>(kind: Kind, challenge: string): Challenge<Kind> | undefined;
  isUsed(challenge: { id: string }): boolean;
  /** Uses a challenge up; `false` when it had been used before. */
  use(challenge: { id: string }): boolean;
};

const MAC_BYTES = 32;

export function createChallenges(): Challenges {
  const key = randomBytes(32);
  const used = new Set<string>();
  const macOf = (kind: string, content: Buffer) =>
    createHmac('sha256', key).update(`${kind}:`).update(content).digest();

  return {
    make(kind, about) {
      const content = Buffer.from(
        JSON.stringify({ ...about, id: randomUUID(), exp: Date.now() + CHALLENGE_TTL_S * 1000 }),
      );
      return Buffer.concat([macOf(kind, content), content]).toString('base64url');
    },
    open(kind, challenge) {
      const bytes = Buffer.from(challenge, 'base64url');
      const [mac, content] = [bytes.subarray(0, MAC_BYTES), bytes.subarray(MAC_BYTES)];
      if (mac.length < MAC_BYTES || !timingSafeEqual(mac, macOf(kind, content))) return undefined;
      const about = JSON.parse(content.toString());
      return about.exp > Date.now() ? about : undefined;
    },
    isUsed: ({ id }) => used.has(id),
    use({ id }) {
      if (used.has(id)) return false;
      used.add(id);
      return true;
    },
  };
}
