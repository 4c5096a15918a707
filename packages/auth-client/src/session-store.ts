import { type SignedIn, User } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { conforms } from './schema-check.js';

/**
 * What is kept of a session, as plain JSON: whoever has it is signed in, so keep it as safe as that. Times are in
 * milliseconds since 1970 by this machine's clock.
 */
export interface StoredSession {
  token: string;
  refreshToken: string;
  /** When the access token is to be refreshed. */
  renewAt: number;
  /** When the access token expires. */
  expiresAt: number;
  user: User;
}

/** Where a session is kept, for example in `localStorage`. Its methods may be synchronous or not. */
export interface SessionStore {
  /** Tells stores apart whose sessions may be refreshed at once: by default all count as the same to Web Locks. */
  name?: string;
  /** Gives what was saved last; anything that is no session counts as none. */
  load(): unknown;
  /** Keeps a session; `undefined` when there is none any more. */
  save(session: StoredSession | undefined): unknown;
}

const Stored = Type.Object({
  token: Type.String(),
  refreshToken: Type.String(),
  renewAt: Type.Number(),
  expiresAt: Type.Number(),
  user: User,
});

/** Keeps a session for as long as the page or the process lives. */
export function createMemoryStore(): SessionStore {
  let kept: StoredSession | undefined;
  return {
    load: () => kept,
    save: session => {
      kept = session;
    },
  };
}

/** What is to be kept of the answer to a call that was made at `askedAt`, of which a token is to be good for a while. */
export function toStored(answer: SignedIn, askedAt: number, minValidityMs: number): StoredSession {
  const { token, refreshToken, user } = answer;
  const lifeMs = answer.expiresIn * 1000;
  // Half of its life, when it does not even live that long.
  const renewAt = askedAt + Math.max(lifeMs - minValidityMs, lifeMs / 2);
  return { token, refreshToken, renewAt, expiresAt: askedAt + lifeMs, user };
}

/** A store that does not lose what it fails to save. */
export type Keeper = {
  load(): Promise<StoredSession | undefined>;
  save(session: StoredSession | undefined): Promise<void>;
};

/**
 * Makes a store reliable. What cannot be saved is kept here, because its refresh token is the only one that is good from
 * now on, until the store takes or holds something newer.
 */
export function createKeeper(store: SessionStore, onWarning: (error: unknown) => void): Keeper {
  let unsaved: { session: StoredSession | undefined; insteadOf: string | undefined } | undefined;

  const read = async () => {
    const value = await store.load();
    return conforms(Stored, value) ? value : undefined;
  };

  return {
    async load() {
      const mine = unsaved;
      if (!mine) return read();
      const there = await read().catch(() => 'unreadable' as const);
      if (there === 'unreadable' || there?.refreshToken === mine.insteadOf) return mine.session;
      unsaved = undefined;
      return there;
    },
    async save(session) {
      try {
        await store.save(session);
        unsaved = undefined;
      } catch (error) {
        const there = await read().catch(() => undefined);
        unsaved = { session, insteadOf: there?.refreshToken };
        onWarning(error);
      }
    },
  };
}
