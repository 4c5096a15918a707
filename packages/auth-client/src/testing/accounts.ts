import { randomBytes, randomUUID } from 'node:crypto';
import type { Session, SignOutScope, User } from '@latchkey/user-schema';

/** A session that lives, with every refresh token that it had, the current one last. */
export type TestSession = Omit<Session, 'current'> & { user: User; refreshTokens: string[]; rotatedAt: number };

export type Account = {
  user: User;
  password: string | undefined;
  /** The sign-up that made it, when that had a key, and the session that began then. */
  signUp?: { key: string; sessionId: string };
};

/** The accounts and sessions of a test issuer. */
export type Accounts = {
  /** Makes an account; `undefined` when the name is taken, in whatever case. */
  add(credentials: { username: string; password?: string }): Account | undefined;
  find(username: string): Account | undefined;
  begin(user: User, userAgent: string | null): TestSession;
  session(sessionId: string): TestSession | undefined;
  ofUser(user: User): TestSession[];
  /** Lists the sessions of an account that began before `after`, the newest first. */
  page(user: User, after: string | undefined, limit: number): { sessions: TestSession[]; next?: string };
  /** Gives a session its next refresh token. */
  rotate(session: TestSession): TestSession;
  /** Uses a refresh token: the current one advances, its parent gets the same successor, an older one is theft. */
  refresh(refreshToken: string): TestSession | undefined;
  /** Ends a session; `false` when there is none. */
  end(sessionId: string): boolean;
  /** Ends the sessions of an account that the scope names, as seen from one of them. */
  endAll(session: TestSession, scope: SignOutScope): void;
};

/** Keeps accounts in memory. `onEnd` is told of each session that ends. */
export function createAccounts(
  { refreshGraceS }: { refreshGraceS: number },
  onEnd: (sessionId: string) => void,
): Accounts {
  // Passwords as they are, compared plainly: nothing here is worth a hash.
  const accounts = new Map<string, Account>();
  const sessions = new Map<string, TestSession>();
  // Of ended ones too: a page may follow one that has ended meanwhile.
  const places = new Map<string, number>();

  const rotate = (session: TestSession) => {
    session.refreshTokens.push(
      `${session.id}.${session.refreshTokens.length}.${randomBytes(32).toString('base64url')}`,
    );
    session.rotatedAt = Date.now();
    session.lastUsedAt = new Date().toISOString();
    return session;
  };
  const end = (sessionId: string) => {
    const wasThere = sessions.delete(sessionId);
    if (wasThere) onEnd(sessionId);
    return wasThere;
  };
  const ofUser = ({ id }: User) => [...sessions.values()].filter(({ user }) => user.id === id);

  return {
    add({ username, password }) {
      if (accounts.has(username.toLowerCase())) return undefined;
      const user = { id: randomUUID(), username, createdAt: new Date().toISOString() };
      const account: Account = { user, password };
      accounts.set(username.toLowerCase(), account);
      return account;
    },
    find: username => accounts.get(username.toLowerCase()),
    begin(user, userAgent) {
      const now = new Date().toISOString();
      const session = { id: randomUUID(), user, userAgent, address: null, createdAt: now, lastUsedAt: now };
      const begun = rotate({ ...session, refreshTokens: [], rotatedAt: 0 });
      sessions.set(begun.id, begun);
      places.set(begun.id, places.size);
      return begun;
    },
    session: sessionId => sessions.get(sessionId),
    ofUser,
    page(user, after, limit) {
      const place = (id: string) => places.get(id) ?? -1;
      const before = after === undefined ? Number.POSITIVE_INFINITY : place(after);
      const left = ofUser(user)
        .filter(({ id }) => place(id) < before)
        .reverse();
      const page = left.slice(0, limit);
      const last = page.at(-1);
      return { sessions: page, ...(last && left.length > limit && { next: last.id }) };
    },
    rotate,
    refresh(refreshToken) {
      const session = sessions.get(refreshToken.split('.', 1)[0] as string);
      if (!session?.refreshTokens.includes(refreshToken)) return undefined;
      if (refreshToken === session.refreshTokens.at(-1)) return rotate(session);
      const isInGrace = Date.now() - session.rotatedAt < refreshGraceS * 1000;
      if (isInGrace && refreshToken === session.refreshTokens.at(-2)) return session;
      end(session.id);
      return undefined;
    },
    end,
    endAll({ id, user }, scope) {
      for (const other of ofUser(user))
        if (scope === 'all' || (other.id === id) === (scope === 'current')) end(other.id);
    },
  };
}
