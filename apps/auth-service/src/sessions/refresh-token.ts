import { createHash, createHmac, randomBytes } from 'node:crypto';
import { deriveKey, type Secrets } from '../config/secrets.js';

/** A parsed refresh token. Whether it is genuine depends on the salt in the session's row. */
export type RefreshToken = {
  /** `undefined` in a token of a version that did not name it. */
  accountId: string | undefined;
  sessionId: string;
  generation: number;
  mac: Buffer;
  /** One for each secret; the SHA-256 of a seed and the row's salt is the genuine MAC. */
  seeds: Buffer[];
};

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
const FORM = new RegExp(`^((?:(${UUID})\\.)?(${UUID})\\.(0|[1-9]\\d{0,8}))\\.([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])$`);

/** Makes the salt of a session: with a new one, none of its tokens is genuine any more. */
export const newSalt = (): Buffer => randomBytes(16);

export type RefreshTokens = {
  /** Makes the token of a generation from the salt of the session's row. */
  issue(accountId: string, session: { id: string; generation: number; salt: Buffer }): string;
  /** Parses `account.sid.generation.MAC`; `undefined` when the text has another form. */
  parse(text: string): RefreshToken | undefined;
};

/**
 * Makes refresh tokens that are not stored. The MAC is SHA-256(HMAC-SHA-256(secret, what is before it) ‖ salt): neither the
 * secret nor a copy of the database alone is enough to make one, and the statement that uses a token can check its MAC.
 *
 * @param namesAccount whether new tokens name the account: replicas of the version before do not know such tokens
 */
export function createRefreshTokens(secrets: Secrets, namesAccount: () => boolean): RefreshTokens {
  const [current, ...older] = secrets.map(secret => deriveKey(secret, 'refresh-mac')) as [Buffer, ...Buffer[]];
  const seed = (key: Buffer, head: string) => createHmac('sha256', key).update(head).digest();

  return {
    issue(accountId, { id, generation, salt }) {
      const head = namesAccount() ? `${accountId}.${id}.${generation}` : `${id}.${generation}`;
      const mac = createHash('sha256').update(seed(current, head)).update(salt).digest('base64url');
      return `${head}.${mac}`;
    },
    parse(text) {
      const [, head, accountId, sessionId, digits, mac] = FORM.exec(text) ?? [];
      if (head === undefined || sessionId === undefined || mac === undefined) return undefined;
      const seeds = [current, ...older].map(key => seed(key, head));
      return { accountId, sessionId, generation: Number(digits), mac: Buffer.from(mac, 'base64url'), seeds };
    },
  };
}
