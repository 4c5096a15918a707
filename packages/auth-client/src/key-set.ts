import { type Static, Type } from '@sinclair/typebox';
import { readKey, type VerificationKey } from './jwk.js';
import type { Request } from './request.js';

/** The issuer's public keys, fetched when needed and kept. */
export type KeySet = {
  /**
   * Finds a key, fetching the set when it is not there.
   *
   * @throws Error when it is not there and should be, or the set could not be fetched
   */
  find(kid: string): Promise<VerificationKey | undefined>;
  /** Starts to fetch the set in the background when it is time to. */
  refreshIfDue(): void;
  /** Takes note of the ids that the issuer publishes now; when they are not those of the set, it is fetched soon. */
  announce(kids: string[]): void;
};

export type KeySetOptions = {
  request: Request;
  /** Called with each new set. */
  onChange: (keys: VerificationKey[]) => void;
  /** Called when the set cannot be fetched any more. */
  onFailure: (error: unknown) => void;
  /** Ends the fetching. */
  signal: AbortSignal;
};

// What the service says of the set: max-age=300.
const MAX_AGE_MS = 5 * 60_000;
// Tokens with made-up key ids must not make us ask the issuer more often than this.
const COOLDOWN_MS = 30_000;
// While there are no keys at all, or not those that were announced, an answer is needed soon.
const URGENT_COOLDOWN_MS = 1000;

const KeyList = Type.Object({ keys: Type.Array(Type.Unknown()) });

export function createKeySet({ request, onChange, onFailure, signal }: KeySetOptions): KeySet {
  let keys: Map<string, VerificationKey> | undefined;
  // Also those of keys that are of no use to us: they are not missing.
  let published = new Set<unknown>();
  let announced: Set<string> | undefined;
  let announcedAt = Number.NEGATIVE_INFINITY;
  let askedAt = Number.NEGATIVE_INFINITY;
  let dueAt = Number.POSITIVE_INFINITY;
  let failure: unknown;
  let pending: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  const isMissing = (kid: string) => announced?.has(kid) && !published.has(kid);
  const isAsAnnounced = () => !announced || isSame(announced, published);

  const refreshIfDue = () => {
    if (performance.now() >= dueAt && !signal.aborted) void refresh(URGENT_COOLDOWN_MS);
  };
  /** Says when to fetch the set again. Whoever verifies sees to that; only what was announced is not left to chance. */
  const setDue = (at: number) => {
    dueAt = at;
    clearTimeout(timer);
    if (isAsAnnounced()) return;
    // No look at the clock then: timers may be a moment early.
    timer = setTimeout(() => signal.aborted || refresh(0), Math.max(0, at - performance.now())).unref();
  };

  const load = async () => {
    // A cache on the way may keep the set for as long as we do.
    const how = { retry: 'any' as const, headers: { 'cache-control': 'no-cache' }, call: { signal } };
    const answer = await request('GET /.well-known/jwks.json', { status: 200, schema: KeyList }, how);
    const usable = readKeys(answer, keys);
    if (usable.size === 0) throw new Error('The JWK set holds no key that tokens can be verified with.');
    published = new Set(answer.keys.map(key => (key as { kid?: unknown } | null)?.kid));
    keys = usable;
    onChange([...keys.values()]);
  };

  /** Fetches the set, once for all who ask meanwhile, unless that was done a moment ago. */
  const refresh = (cooldownMs: number): Promise<void> | undefined => {
    if (pending || performance.now() - askedAt < cooldownMs) return pending;
    askedAt = performance.now();
    pending = load()
      .then(() => {
        failure = undefined;
        // Ids that were announced before we asked, and yet are not those of the set: asking fast is no help.
        const otherwise = announcedAt < askedAt ? COOLDOWN_MS : URGENT_COOLDOWN_MS;
        setDue(askedAt + (isAsAnnounced() ? MAX_AGE_MS : otherwise));
      })
      .catch(error => {
        if (failure === undefined) onFailure(error);
        failure = error;
        setDue(askedAt + (isAsAnnounced() ? COOLDOWN_MS : URGENT_COOLDOWN_MS));
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
      // Perhaps a new key, perhaps a made-up one: nobody knows.
      if (!key && failure !== undefined) throw failure;
      if (!key && isMissing(kid)) throw new Error('The key is announced, but the JWK set does not hold it yet.');
      return key;
    },
    refreshIfDue,
    announce(kids) {
      const now = new Set(kids);
      if (!announced || !isSame(announced, now)) {
        announced = now;
        announcedAt = performance.now();
        if (!isAsAnnounced()) setDue(Math.min(dueAt, askedAt + URGENT_COOLDOWN_MS));
      }
      refreshIfDue();
    },
  };
}

/** Reads what is usable of a set. A key that was there before stays the same object. */
function readKeys(
  answer: Static<typeof KeyList>,
  before: Map<string, VerificationKey> | undefined,
): Map<string, VerificationKey> {
  const usable = answer.keys.map(readKey).filter(key => key !== undefined);
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
