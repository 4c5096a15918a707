import { type Static, Type } from '@sinclair/typebox';
import { readKey, type VerificationKey } from './jwk.js';
import type { ServiceRequest } from './service-request.js';

/** The issuer's public keys, fetched when needed and kept. */
export type KeySet = {
  /**
   * Finds a key. Fetches the set when it does not have the key.
   *
   * @throws Error when the key may exist: the set could not be fetched, or does not have a key that was announced
   */
  find(kid: string): Promise<VerificationKey | undefined>;
  /** Starts to fetch the set in the background when that is due. */
  refreshIfDue(): void;
  /** Takes the ids of the keys that the issuer publishes now. When the set has others, it is fetched soon. */
  announce(kids: string[]): void;
};

export type KeySetOptions = {
  request: ServiceRequest;
  /** Called with each new set. */
  onChange: (keys: VerificationKey[]) => void;
  /** Called with the first of consecutive failures to fetch the set. */
  onFailure: (error: unknown) => void;
  /** Stops fetching. */
  signal: AbortSignal;
};

// The service sends the set with max-age=300.
const MAX_AGE_MS = 5 * 60_000;
// Tokens with made-up key ids must not cause more requests than this allows.
const COOLDOWN_MS = 30_000;
// For a set that has no keys at all, or not those that were announced.
const URGENT_COOLDOWN_MS = 1000;

const KeyList = Type.Object({ keys: Type.Array(Type.Unknown()) });

export function createKeySet({ request, onChange, onFailure, signal }: KeySetOptions): KeySet {
  let keys: Map<string, VerificationKey> | undefined;
  // With the ids of keys that cannot verify tokens: those are not missing.
  let published = new Set<unknown>();
  let announced: Set<string> | undefined;
  let announcedAt = Number.NEGATIVE_INFINITY;
  let requestedAt = Number.NEGATIVE_INFINITY;
  let dueAt = Number.POSITIVE_INFINITY;
  let failure: unknown;
  let pending: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  const isMissing = (kid: string) => announced?.has(kid) && !published.has(kid);
  const isAsAnnounced = () => !announced || isSame(announced, published);

  const refreshIfDue = () => {
    if (performance.now() >= dueAt && !signal.aborted) void refresh(URGENT_COOLDOWN_MS);
  };
  /** Sets when to fetch the set again. `refreshIfDue` does that; a set that is not as announced also gets a timer. */
  const setDue = (at: number) => {
    dueAt = at;
    clearTimeout(timer);
    if (isAsAnnounced()) return;
    // Without a cooldown, because a timer may fire slightly early.
    timer = setTimeout(() => signal.aborted || refresh(0), Math.max(0, at - performance.now())).unref();
  };

  const load = async () => {
    // An HTTP cache on the way may keep the set for another MAX_AGE_MS.
    const details = { retry: 'any' as const, headers: { 'cache-control': 'no-cache' }, options: { signal } };
    const list = await request('GET /.well-known/jwks.json', { status: 200, schema: KeyList }, details);
    const usable = readKeys(list, keys);
    if (usable.size === 0) throw new Error('The JWK set has no key that tokens can be verified with.');
    published = new Set(list.keys.map(key => (key as { kid?: unknown } | null)?.kid));
    keys = usable;
    onChange([...keys.values()]);
  };

  /** Fetches the set, once for all concurrent callers, unless it was requested less than `cooldownMs` ago. */
  const refresh = (cooldownMs: number): Promise<void> | undefined => {
    if (pending || performance.now() - requestedAt < cooldownMs) return pending;
    requestedAt = performance.now();
    pending = load()
      .then(() => {
        failure = undefined;
        // When the set was requested after the announcement and still differs, frequent requests do not help.
        const cooldownMs = announcedAt < requestedAt ? COOLDOWN_MS : URGENT_COOLDOWN_MS;
        setDue(requestedAt + (isAsAnnounced() ? MAX_AGE_MS : cooldownMs));
      })
      .catch(error => {
        if (failure === undefined) onFailure(error);
        failure = error;
        setDue(requestedAt + (isAsAnnounced() ? COOLDOWN_MS : URGENT_COOLDOWN_MS));
      })
      .finally(() => {
        pending = undefined;
      });
    return pending;
  };

  return {
    async find(kid) {
      if (!keys?.has(kid)) await refresh(keys && !isMissing(kid) ? COOLDOWN_MS : URGENT_COOLDOWN_MS);
      const key = keys?.get(kid);
      // It is unknown whether the key is new or made up.
      if (!key && failure !== undefined) throw failure;
      if (!key && isMissing(kid)) throw new Error('The key is announced, but the JWK set does not have it yet.');
      return key;
    },
    refreshIfDue,
    announce(kids) {
      const now = new Set(kids);
      if (!announced || !isSame(announced, now)) {
        announced = now;
        announcedAt = performance.now();
        if (!isAsAnnounced()) setDue(Math.min(dueAt, requestedAt + URGENT_COOLDOWN_MS));
      }
      refreshIfDue();
    },
  };
}

/** Reads the usable keys of a set. A key that has not changed stays the same object. */
function readKeys(
  list: Static<typeof KeyList>,
  before: Map<string, VerificationKey> | undefined,
): Map<string, VerificationKey> {
  const usable = list.keys.map(readKey).filter(key => key !== undefined);
  return new Map(
    usable.map(key => {
      const known = before?.get(key.kid);
      return [key.kid, known?.pem === key.pem && known.alg === key.alg ? known : key];
    }),
  );
}

function isSame(some: Set<unknown>, others: Set<unknown>): boolean {
  return some.size === others.size && [...some].every(one => others.has(one));
}
