import { inTransaction, type Queryable } from '@latchkey/service-kit/database';
import type { Jwks, PublicJwk } from '@latchkey/user-schema';
import type { FastifyBaseLogger } from 'fastify';
import type { SecretsSettings } from '../config/sections/secrets.js';
import type { TokenSettings } from '../config/sections/tokens.js';
import { SERVICE_ORIGIN } from '../events/recorder.js';
import {
  type Claims,
  createJwt,
  headerOf,
  isWellFormed,
  type JWT,
  type JwtSettings,
  type UnsignedClaims,
} from './jwt.js';
import { ensureKeys, needAttention } from './rotation.js';
import { openKey } from './signing-key.js';
import { listKeys, type StoredKey } from './stored-keys.js';

/** The keys that sign and verify now. */
export type KeyRing = {
  /** Signs a token with the key that is active now. */
  sign(claims: UnsignedClaims): string;
  /** Verifies a token with the published key that has signed it; throws when there is none, or the claims are not ours. */
  verify(token: string): Claims;
  /** The public halves of the keys that tokens may be signed with (RFC 7517). */
  jwks(): Jwks;
  /** Whether the active key can sign, for which its secret must be in AUTH_SECRETS. */
  isReady(): boolean;
  /** For how long the active key has signed, when the next one will, and how many keys AUTH_SECRETS does not open. */
  state(): { activeForMs?: number; nextInMs?: number; unopened: number };
  /** Adds a listener, which is called when other keys are published than before. */
  onChange(listener: () => void): void;
};

/** The settings of the keys. */
export type KeySettings = JwtSettings & SecretsSettings & Pick<TokenSettings, 'tokenAlgorithm'>;

type RingKey = {
  kid: string;
  publicJwk: PublicJwk;
  /** Times of `performance.now()`, from the intervals that the database's clock gives. */
  signsFrom: number;
  goneFrom: number;
  canSign: boolean;
  jwt: JWT;
};

/** Makes a ring that is empty until it is loaded. */
export function createKeyRing(config: KeySettings, log: Pick<FastifyBaseLogger, 'error'>) {
  // The key that signs last comes first.
  let ring: RingKey[] = [];
  // The first segment of a token, its header, finds the key. Only the headers that this service writes are here: one with
  // another `alg`, `typ` or `crit`, or with a key of its own, finds no key.
  let byHeader = new Map<string, RingKey>();
  let unopened = 0;
  const listeners: (() => void)[] = [];

  /** Opens a key. It only verifies when its private half cannot be opened; `undefined` when its public half is no key. */
  const open = async (key: StoredKey) => {
    const { kid, publicJwk } = key;
    const complain = (error: unknown) => {
      // The service does not start without the active key; later it continues with the keys that are open.
      if (ring.length === 0 && key.state === 'active') throw error;
      log.error({ err: error, kid }, 'cannot open a signing key');
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

  return {
    /** Reads the keys of the database; the first time, makes one when there is none. */
    async load(db: Queryable): Promise<void> {
      let keys = await listKeys(db);
      if (ring.length === 0 && needAttention(keys, config)) {
        await inTransaction(db, () => ensureKeys(db, config, SERVICE_ORIGIN));
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
      byHeader = new Map(ring.map(key => [headerOf(key.publicJwk), key]));
      if (ring.map(({ kid }) => kid).join() !== before) for (const listener of listeners) listener();
    },
    sign(claims) {
      // A retired key signs when the active one cannot be opened.
      const key = active().find(({ canSign }) => canSign);
      if (!key) throw new Error('There is no signing key.');
      return key.jwt.sign(claims);
    },
    verify(token) {
      const key = byHeader.get(token.slice(0, token.indexOf('.')));
      if (!key || key.goneFrom <= performance.now()) throw new Error('The token is signed with an unknown key.');
      if (!isWellFormed(token)) throw new Error('This is no token.');
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
  } satisfies KeyRing & { load(db: Queryable): Promise<void> };
}

function times({ activeInMs, goneInMs }: StoredKey): Pick<RingKey, 'signsFrom' | 'goneFrom'> {
  const now = performance.now();
  return { signsFrom: now + activeInMs, goneFrom: now + (goneInMs ?? Number.POSITIVE_INFINITY) };
}
