import { createHash, createHmac, randomBytes } from 'node:crypto';
import { deriveKey, type Secrets } from '../config/secrets.js';

/** A parsed refresh token. Whether it is genuine depends on the salt in the session's row. */
export type RefreshToken = {
  sessionId: string;
  generation: number;
  mac: Buffer;
  /** One for each secret; the SHA-256 of a seed and the row's salt is the genuine MAC. */
  seeds: Buffer[];
};

const FORM = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(0|[1-9]\d{0,8})\.([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])$/;

/** Makes the salt of a session: with a new one, none of its tokens is genuine any more. */
export const newSalt = (): Buffer => randomBytes(16);

export type RefreshTokens = {
  /** Makes the token of a generation from the salt of the session's row. */
  issue(session: { id: string; generation: number; salt: Buffer }): string;
  /** Parses `sid.generation.MAC`; `undefined` when the text has another form. */
  parse(text: string): RefreshToken | undefined;
};

/**
 * Makes refresh tokens that are not stored. The MAC is SHA-256(HMAC-SHA-256(secret, sid.generation) ‖ salt): neither the
 * secret nor a copy of the database alone is enough to make one, and the statement that uses a token can check its MAC.
 */
export function createRefreshTokens(secrets: Secrets): RefreshTokens {
  const [current, ...older] = secrets.map(secret => deriveKey(secret, 'refresh-mac')) as [Buffer, ...Buffer[]];
  const seed = (key: Buffer, sessionId: string, generation: number) =>
    createHmac('sha256', key).update(`${sessionId}.${generation}`).digest();

  return {
    issue({ id, generation, salt }) {
      const mac = createHash('sha256')
        .update(seed(current, id, generation))
        .update(salt)
        .digest('base64url');
      return `${id}.${generation}.${mac}`;
    },
    parse(text) {
      const [, sessionId, digits, mac] = FORM.exec(text) ?? [];
      if (sessionId === undefined || digits === undefined || mac === undefined) return undefined;
      const generation = Number(digits);
      const seeds = [current, ...older].map(key => seed(key, sessionId, generation));
      return { sessionId, generation, mac: Buffer.from(mac, 'base64url'), seeds };
    },
  };
}
