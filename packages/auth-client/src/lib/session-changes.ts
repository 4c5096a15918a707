import type { User } from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import type { StoredSession } from '../session-store.js';
import { ReceivedUser, withUser } from './received-user.js';
import { conforms } from './schema-check.js';
import { sleep } from './sleep.js';

/** Called with the user who is signed in from now on; `undefined` when nobody is. */
export type SessionListener = (change: { user: User | undefined }) => void;

/** Tells listeners when the user of a store changes, in this tab and in others. */
export type SessionChanges = {
  /** Says what was saved. */
  saved(session: StoredSession | undefined): void;
  subscribe(listener: SessionListener): () => void;
};

type Options = {
  load: () => Promise<StoredSession | undefined>;
  /** The name of the channel among tabs; without one, no other tab has the store. */
  channelName: string | undefined;
};

const Message = Type.Object({ user: Type.Union([ReceivedUser, Type.Null()]) });

// A message of another tab may arrive before what that has written into `localStorage`, by some milliseconds.
const [LOOK_AGAIN_MS, MOST_LOOKS] = [10, 100];

/**
 * Creates what tells of the changes of one store. Other tabs are sent the user, and no tokens. Their listeners are told when their
 * store has the session of that user: a request that they make then has its token.
 */
export function createSessionChanges({ load, channelName }: Options): SessionChanges {
  const listeners = new Set<SessionListener>();
  let known: string | undefined;
  let channel: InstanceType<typeof BroadcastChannel> | undefined;

  const stateOf = (user: User | undefined) => JSON.stringify(user ?? null);
  const tell = (user: User | undefined) => {
    const now = stateOf(user);
    if (known === now) return false;
    known = now;
    // In a microtask: an error that a listener throws is the application's.
    for (const listener of listeners) queueMicrotask(() => listener({ user }));
    return true;
  };
  const read = async () => {
    const session = await load().catch(() => undefined);
    // What was told meanwhile is newer.
    known ??= stateOf(session?.user);
  };
  let news = 0;
  const receive = async ({ data }: { data: unknown }) => {
    if (!conforms(Message, data)) return;
    const announced = stateOf(data.user === null ? undefined : withUser(data as { user: User }).user);
    const mine = ++news;
    for (let looks = 1; ; looks++) {
      const user = (await load().catch(() => undefined))?.user;
      // What was saved or announced meanwhile is newer.
      if (mine !== news) return;
      if (stateOf(user) === announced || looks === MOST_LOOKS) return void tell(user);
      await sleep(LOOK_AGAIN_MS, undefined, { unref: true });
    }
  };
  const openChannel = () => {
    if (channelName === undefined || typeof BroadcastChannel === 'undefined') return undefined;
    const opened = new BroadcastChannel(channelName);
    opened.onmessage = event => void receive(event as { data: unknown });
    // In Node.js it would keep the process alive.
    (opened as { unref?: () => void }).unref?.();
    return opened;
  };

  return {
    saved(session) {
      news++;
      if (!tell(session?.user)) return;
      channel ??= openChannel();
      channel?.postMessage({ user: session?.user ?? null });
    },
    subscribe(listener) {
      channel ??= openChannel();
      listeners.add(listener);
      if (known === undefined) void read();
      return () => void listeners.delete(listener);
    },
  };
}
