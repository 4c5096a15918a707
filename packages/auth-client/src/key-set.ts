import { Jwks, type PublicJwk } from '@latchkey/user-schema';
import type { Fetch } from './http.js';
import { conforms } from './schema-check.js';

/** The issuer's public keys, fetched when needed and kept. */
export type KeySet = {
  /** Finds a key, fetching the set when it is not there. Rejects only when no set could ever be fetched. */
  find(kid: string): Promise<PublicJwk | undefined>;
  /** Starts to fetch the set in the background when it has become old. */
  refreshIfOld(): void;
};

export type KeySetOptions = {
  url: string;
  fetch: Fetch;
  timeoutMs: number;
  /** Called with each new set. */
  onChange: (keys: Map<string, PublicJwk>) => void;
};

const MAX_AGE_MS = 10 * 60_000;
// Tokens with made-up key ids must not make us ask the issuer more often than this.
const COOLDOWN_MS = 30_000;
// While there are no keys at all, every token needs an answer soon.
const FIRST_COOLDOWN_MS = 1000;

export function createKeySet({ url, fetch, timeoutMs, onChange }: KeySetOptions): KeySet {
  let keys: Map<string, PublicJwk> | undefined;
  let askedAt = Number.NEGATIVE_INFINITY;
  let failure: unknown;
  let pending: Promise<void> | undefined;

  const load = async () => {
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(timeoutMs) });
    const body: unknown = await response.json();
    if (response.status !== 200 || !conforms(Jwks, body)) throw new Error(`${url} does not answer with a JWK set`);
    keys = new Map(body.keys.map(key => [key.kid, key]));
    onChange(keys);
  };

  /** Fetches the set, once for all who ask meanwhile, unless that was done a moment ago. */
  const refresh = (cooldownMs: number) => {
    if (!pending && performance.now() - askedAt >= cooldownMs) {
      askedAt = performance.now();
      pending = load()
        .catch(error => {
          failure = error;
        })
        .finally(() => {
          pending = undefined;
        });
    }
    return pending;
  };

  return {
    async find(kid) {
      if (!keys?.has(kid)) await refresh(keys ? COOLDOWN_MS : FIRST_COOLDOWN_MS);
      if (!keys) throw new Error(`Cannot fetch the keys from ${url}`, { cause: failure });
      return keys.get(kid);
    },
    refreshIfOld() {
      if (performance.now() - askedAt >= MAX_AGE_MS) void refresh(COOLDOWN_MS);
    },
  };
}
