import type { User } from '@latchkey/user-schema';
import {
  createContext,
  createElement,
  type FunctionComponent,
  type ReactNode,
  useContext,
  useSyncExternalStore,
} from 'react';
import type { UserSession } from './user-session.js';

/** Who is signed in; `unknown` until the store was read, and on a server that renders the page. */
export type UserState =
  | { status: 'unknown'; user?: undefined }
  | { status: 'signed-in'; user: User }
  | { status: 'signed-out'; user?: undefined };

const SessionContext = createContext<UserSession | undefined>(undefined);
const UNKNOWN: UserState = { status: 'unknown' };
const SIGNED_OUT: UserState = { status: 'signed-out' };

type Source = { read(): UserState; subscribe(onChange: () => void): () => void };
const sources = new WeakMap<UserSession, Source>();

/**
 * Gives a session, of `createUserSession`, to the components below it. Make the session once, outside of components.
 *
 * ```tsx
 * <SessionProvider session={session}><App /></SessionProvider>
 * ```
 */
export const SessionProvider: FunctionComponent<{ session: UserSession; children?: ReactNode }> = ({
  session,
  children,
}) => createElement(SessionContext.Provider, { value: session }, children);

/**
 * Returns the session of the nearest {@link SessionProvider}.
 *
 * @throws Error when there is none
 */
export function useSession(): UserSession {
  const session = useContext(SessionContext);
  if (!session) throw new Error('useSession and useUser need a <SessionProvider> above the component.');
  return session;
}

/** Returns who is signed in, and renders again when that changes, in this tab or another. */
export function useUser(): UserState {
  const source = sourceOf(useSession());
  return useSyncExternalStore(source.subscribe, source.read, () => UNKNOWN);
}

/** One for all components, so that the store is read once. */
function sourceOf(session: UserSession): Source {
  const source = sources.get(session) ?? createSource(session);
  sources.set(session, source);
  return source;
}

function createSource(session: UserSession): Source {
  const listeners = new Set<() => void>();
  let state = UNKNOWN;
  let end: (() => void) | undefined;
  const set = (user: User | undefined) => {
    state = user ? { status: 'signed-in', user } : SIGNED_OUT;
    for (const listener of listeners) listener();
  };
  const begin = () => {
    let isPast = false;
    const unsubscribe = session.onChange(({ user }) => {
      isPast = true;
      set(user);
    });
    // Without a store that can be read, nobody is signed in.
    session.user().then(
      user => isPast || set(user),
      () => isPast || set(undefined),
    );
    return () => {
      isPast = true;
      unsubscribe();
    };
  };
  return {
    read: () => state,
    subscribe(listener) {
      listeners.add(listener);
      end ??= begin();
      return () => {
        listeners.delete(listener);
        if (listeners.size > 0) return;
        end?.();
        end = undefined;
      };
    },
  };
}
