import { Type } from '@sinclair/typebox';
import type { SessionStore, StoredSession } from '../session-store.js';
import { ReceivedUser, withUser } from './received-user.js';
import { conforms } from './schema-check.js';

/** A store whose `save` never fails. */
export type ReliableStore = {
  load(): Promise<StoredSession | undefined>;
  save(session: StoredSession | undefined): Promise<void>;
};

const Stored = Type.Object({
  token: Type.String(),
  refreshToken: Type.String(),
  renewAt: Type.Number(),
  expiresAt: Type.Number(),
  user: ReceivedUser,
});

/** Keeps a session as long as the page or the process lives. */
export function createMemoryStore(): SessionStore {
  let kept: StoredSession | undefined;
  return {
    load: () => kept,
    save: session => {
      kept = session;
    },
  };
}

/**
 * Makes a store reliable: a session that it fails to save is kept in memory, because its refresh token is the only valid one
 * by then. It is kept until the store saves again or holds a session that is newer.
 */
export function createReliableStore(store: SessionStore, onWarning: (error: unknown) => void): ReliableStore {
  let unsaved: { session: StoredSession | undefined; insteadOf: string | undefined } | undefined;

  const read = async () => {
    const value = await store.load();
    return conforms(Stored, value) ? withUser(value) : undefined;
  };

  return {
    async load() {
      if (!unsaved) return read();
      const { session, insteadOf } = unsaved;
      const stored = await read().catch(() => 'unreadable' as const);
      if (stored === 'unreadable' || stored?.refreshToken === insteadOf) return session;
      unsaved = undefined;
      return stored;
    },
    async save(session) {
      try {
        await store.save(session);
        unsaved = undefined;
      } catch (error) {
        const stored = await read().catch(() => undefined);
        unsaved = { session, insteadOf: stored?.refreshToken };
        onWarning(error);
      }
    },
  };
}
