import { createHash, createHmac } from 'node:crypto';
import { deriveKey, type Secrets } from '../config/secrets.js';

/** A parsed refresh token. Whether it is genuine depends on the salt in the session's row. */
export type RefreshToken = { sessionId: string; generation: number; mac: Buffer };

const FORM = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(0|[1-9]\d{0,8})\.([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])$/;

/** Parses `sid.generation.MAC`; `undefined` when the text has another form. */
export function parseRefreshToken(token: string): RefreshToken | undefined {
  const [, sessionId, generation, mac] = FORM.exec(token) ?? [];
  if (sessionId === undefined || generation === undefined || mac === undefined) return undefined;
  return { sessionId, generation: Number(generation), mac: Buffer.from(mac, 'base64url') };
}

export type RefreshTokens = {
  /** Makes the token of a generation from the salt of the session's row. */
  issue(session: { id: string; generation: number; salt: Buffer }): string;
  /** Computes one seed for each secret; the hash of a seed and the row's salt is the genuine MAC. */
  seeds(token: RefreshToken): Buffer[];
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
    seeds: ({ sessionId, generation }) => [current, ...older].map(key => seed(key, sessionId, generation)),
  };
}
