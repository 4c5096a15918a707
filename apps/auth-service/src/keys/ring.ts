import jwt, { type JWT } from '@fastify/jwt';
import type { AccessTokenClaims, Jwks, PublicJwk, ServiceTokenClaims } from '@latchkey/user-schema';
import { fastify } from 'fastify';
import fp from 'fastify-plugin';
import type { Config, WithConfig } from '../config/settings.js';
import { inTransaction, type Queryable } from '../database/sql.js';
import { ensureKeys, needAttention } from './life.js';
import { openKey, publicPem } from './signing-key.js';
import { listKeys, type StoredKey } from './stored-keys.js';

declare module 'fastify' {
  interface FastifyInstance {
    signingKeys: SigningKeys;
  }
}

/** Claims of any token that this service signs. */
export type Claims = AccessTokenClaims | ServiceTokenClaims;

type SigningKeys = {
  /** Signs a token with the key that is active now. */
  sign(claims: Omit<AccessTokenClaims, 'iss' | 'aud'> | Omit<ServiceTokenClaims, 'iss' | 'aud'>): string;
  /** Verifies a token with whichever published key has signed it; throws when none has, or it is not for us. */
  verify(token: string): Claims;
  /** The public halves of the keys that tokens may be signed with (RFC 7517). */
  jwks(): Jwks;
  /** Whether the key that is active can be used here, as it cannot without its secret. */
  isReady(): boolean;
  /** For how long the active key has signed, when the next one will, and how many keys cannot be opened here. */
  state(): { activeForMs?: number; nextInMs?: number; unopened: number };
  /** Calls when other keys are published than before. */
  onChange(listener: () => void): void;
};

type RingKey = {
  kid: string;
  publicJwk: PublicJwk;
  /** By `performance.now()`: the database's clock said how far off they are. */
  signsFrom: number;
  goneFrom: number;
  canSign: boolean;
  jwt: JWT;
};

// Replicas hear of a change at once; this is for when they cannot.
const RELOAD_EVERY_MS = 2000;
const MAX_TOKEN_LENGTH = 8192;
// The last character of a 64 or 256-byte signature carries 2 of its bits; with other bits set it would decode alike, and
// one token would have sixteen spellings.
const CANONICAL = /^[\w-]+\.[\w-]+\.[\w-]*[AQgw]$/;
const REQUIRED_CLAIMS: (keyof Claims)[] = ['iss', 'aud', 'sub', 'client_id', 'iat', 'exp', 'jti'];

/** Signs and verifies with the keys that all replicas share, and follows their rotation. */
export default fp<WithConfig>(
  async (app, { config }) => {
    // The first that signs last.
    let ring: RingKey[] = [];
    // A token says by its first segment which key has signed it, and only our own spelling of that is known here: a
    // header with another `alg`, `typ` or `crit`, or a key of its own, finds no key at all.
    let byHeader = new Map<string, RingKey>();
    let unopened = 0;
    const listeners: (() => void)[] = [];

    const load = async (db: Queryable) => {
      let keys = await listKeys(db);
      if (ring.length === 0 && needAttention(keys, config)) {
        const origin = { requestId: null, address: null, userAgent: 'auth-service' };
        await inTransaction(db, () => ensureKeys(db, config, origin));
        keys = await listKeys(db);
      }
      const before = ring.map(({ kid }) => kid).join();
      const known = new Map(ring.map(key => [key.kid, key]));
      const live = keys.filter(({ state }) => state !== 'gone');
      const opened = await Promise.all(
        live.map(async key => {
          const openKey = known.get(key.kid) ?? (await open(key));
          return openKey && { ...openKey, ...times(key) };
        }),
      );
      ring = opened.filter(key => key !== undefined);
      unopened = live.length - ring.filter(({ canSign }) => canSign).length;
      byHeader = new Map(ring.map(key => [headerOf(key), key]));
      if (ring.map(({ kid }) => kid).join() !== before) for (const listener of listeners) listener();
    };

    /** Opens a key; one that only verifies when its private half cannot be opened, none when it is no key at all. */
    const open = async (key: StoredKey) => {
      const { kid, publicJwk } = key;
      const complain = (error: unknown) => {
        // At the start the operator must hear of it; later on the keys that are open do.
        if (ring.length === 0 && key.state === 'active') throw error;
        app.log.error({ err: error, kid }, 'cannot open a signing key');
        return undefined;
      };
      let privatePem: string | undefined;
      try {
        privatePem = openKey(key, config.authSecrets);
      } catch (error) {
        complain(error);
      }
      const jwt = await createJwt(publicJwk, privatePem, config).catch(complain);
      return jwt && { kid, publicJwk, canSign: privatePem !== undefined, jwt };
    };

    const active = () => {
      const now = performance.now();
      return ring.filter(({ signsFrom, goneFrom }) => signsFrom <= now && now < goneFrom);
    };

    await app.follow('signing_keys', RELOAD_EVERY_MS, load);

    app.decorate('signingKeys', {
      sign(claims) {
        // One that has retired, when the active one cannot be opened here.
        const key = active().find(({ canSign }) => canSign);
        if (!key) throw new Error('There is no signing key.');
        return key.jwt.sign(claims);
      },
      verify(token) {
        const key = byHeader.get(token.slice(0, token.indexOf('.')));
        if (!key || key.goneFrom <= performance.now()) throw new Error('The token is signed with an unknown key.');
        if (token.length > MAX_TOKEN_LENGTH || !CANONICAL.test(token)) throw new Error('This is no token.');
        return key.jwt.verify<Claims>(token);
      },
      jwks() {
        const now = performance.now();
        return { keys: ring.filter(({ goneFrom }) => now < goneFrom).map(({ publicJwk }) => publicJwk) };
      },
      onChange: listener => void listeners.push(listener),
      isReady: () => active()[0]?.canSign === true,
      state() {
        const now = performance.now();
        const signsFrom = active()[0]?.signsFrom;
        const next = ring.find(key => key.signsFrom > now);
        return {
          ...(signsFrom !== undefined && { activeForMs: now - signsFrom }),
          ...(next && { nextInMs: next.signsFrom - now }),
          unopened,
        };
      },
    });
  },
  { name: 'signing-keys', dependencies: ['changes'] },
);

function times({ activeInMs, goneInMs }: StoredKey): Pick<RingKey, 'signsFrom' | 'goneFrom'> {
  const now = performance.now();
  return { signsFrom: now + activeInMs, goneFrom: now + (goneInMs ?? Number.POSITIVE_INFINITY) };
}

/** The first segment of every token that a key has signed. */
function headerOf({ kid, publicJwk }: RingKey): string {
  return Buffer.from(JSON.stringify({ alg: publicJwk.alg, typ: 'at+jwt', kid })).toString('base64url');
}

/** @fastify/jwt holds one key for the life of an app, and keys come and go: each gets an app that does nothing else. */
async function createJwt(publicJwk: PublicJwk, privatePem: string | undefined, config: Config): Promise<JWT> {
  const { alg: algorithm, kid } = publicJwk;
  const holder = fastify();
  await holder.register(jwt, {
    secret: { public: publicPem(publicJwk), ...(privatePem !== undefined && { private: privatePem }) } as never,
    sign: {
      algorithm,
      kid,
      header: { alg: algorithm, typ: 'at+jwt' },
      iss: config.publicUrl,
      aud: config.tokenAudience,
    },
    verify: {
      algorithms: [algorithm],
      checkTyp: 'at+jwt',
      allowedIss: config.publicUrl,
      allowedAud: config.tokenAudience,
      requiredClaims: REQUIRED_CLAIMS,
    },
  });
  await holder.ready();
  return holder.jwt;
}
