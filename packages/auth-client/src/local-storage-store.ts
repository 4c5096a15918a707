import type { SessionStore, StoredSession } from './session-store.js';

type Storage = {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
};

const KEY = 'latchkey-session';

/**
 * Keeps a session in `localStorage`: it survives a reload, and all tabs of the origin share it. Every script of the page can read
 * it, and so can one that an attacker injects: have a Content-Security-Policy.
 *
 * Where there is no `localStorage`, as on a server that renders a page, there is no session; where it is full or forbidden, the
 * session is kept in memory and `onWarning` gets the error.
 *
 * @param options - `key` is the name of the entry, `latchkey-session` by default. Sessions of other keys do not meet.
 */
export function createLocalStorageStore({ key = KEY }: { key?: string } = {}): SessionStore {
  const storage = () => (globalThis as { localStorage?: Storage }).localStorage;
  return {
    name: key,
    load: () => parse(storage()?.getItem(key)),
    save(session: StoredSession | undefined) {
      const target = storage();
      if (!target) throw new Error('There is no localStorage here.');
      if (session) target.setItem(key, JSON.stringify(session));
      else target.removeItem(key);
    },
  };
}

/** What somebody else wrote there is no session. */
function parse(text: string | null | undefined): unknown {
  try {
    return text ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}
