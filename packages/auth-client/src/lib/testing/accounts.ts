import { randomBytes, randomUUID } from 'node:crypto';
import type { Session, SignOutScope, User } from '@latchkey/user-schema';
import { type AccountFactors, highestAcr, noFactors } from './factors.js';

/** A live session, with all its refresh tokens so far, the current one last. */
export type TestSession = Omit<Session, 'current'> & {
  user: User;
  authTime: number;
  /** How the user signed in (RFC 8176). */
  amr: readonly string[];
  refreshTokens: string[];
  rotatedAt: number;
};

export type Account = {
  user: User;
  password: string | undefined;
  factors: AccountFactors;
  /** Raised by changes of what proves the account: a sign-in that has begun before does not go on. */
  credentialVersion: number;
  /** The idempotency key of the sign-up that created it, and the session that it started. */
  signUp?: { key: string; sessionId: string };
};

/** The accounts and sessions of a test issuer. */
export type Accounts = {
  /** Creates an account; `undefined` when the username is taken, without regard to case. */
  add(credentials: { username: string; password?: string }): Account | undefined;
  find(username: string): Account | undefined;
  /** Finds the account that has verified an address, without regard to case. */
  findByEmail(email: string): Account | undefined;
  findById(accountId: string): Account | undefined;
  /** Finds the account with a user handle of passkeys. */
  findByHandle(handle: string): Account | undefined;
  /** Starts a session, of a sign-in at `authTime` (in seconds since 1970): now by default. */
  startSession(
    user: User,
    signIn: { amr: readonly string[]; userAgent: string | null; authTime?: number },
  ): TestSession;
  findSession(sessionId: string): TestSession | undefined;
  /** Lists the sessions of an account that began before the session `after`, the newest first. */
  listSessions(user: User, after: string | undefined, limit: number): { sessions: TestSession[]; next?: string };
  /** Adds the next refresh token to a session. */
  rotate(session: TestSession): TestSession;
  /** Exchanges a refresh token: the current one is rotated, its parent gets the same successor, an older one is theft. */
  refresh(refreshToken: string): TestSession | undefined;
  /** Ends a session; `false` when it does not exist. */
  endSession(sessionId: string): boolean;
  /** Ends the sessions of the session's account that the scope names. */
  endSessions(session: TestSession, scope: SignOutScope): void;
  endAllSessions(account: Account): void;
  /** Takes from the sessions of an account what its second factors have proved, when it has none any more. */
  weakenSessions(account: Account): void;
};

/** Now, as the claim `auth_time` has it. */
export const nowS = (): number => Math.floor(Date.now() / 1000);

/** Keeps accounts in memory. `onEnd` is called with each session that ends. */
export function createAccounts(
  { refreshGraceS }: { refreshGraceS: number },
  onEnd: (sessionId: string) => void,
): Accounts {
  const accounts = new Map<string, Account>();
  const sessions = new Map<string, TestSession>();
  // With those of ended sessions: the session before a page may have ended meanwhile.
  const positions = new Map<string, number>();

  const rotate = (session: TestSession) => {
    session.refreshTokens.push(
      `${session.id}.${session.refreshTokens.length}.${randomBytes(32).toString('base64url')}`,
    );
    session.rotatedAt = Date.now();
    session.lastUsedAt = new Date().toISOString();
    return session;
  };
  const endSession = (sessionId: string) => {
    const existed = sessions.delete(sessionId);
    if (existed) onEnd(sessionId);
    return existed;
  };
  const sessionsOf = ({ id }: User) => [...sessions.values()].filter(({ user }) => user.id === id);

  return {
    add({ username, password }) {
      if (accounts.has(username.toLowerCase())) return undefined;
      const user: User = { id: randomUUID(), username, email: null, createdAt: new Date().toISOString() };
      const account: Account = { user, password, factors: noFactors(), credentialVersion: 1 };
      accounts.set(username.toLowerCase(), account);
      return account;
    },
    find: username => accounts.get(username.toLowerCase()),
    findByEmail: email => [...accounts.values()].find(({ user }) => user.email?.toLowerCase() === email.toLowerCase()),
    findById: accountId => [...accounts.values()].find(({ user }) => user.id === accountId),
    findByHandle: handle => [...accounts.values()].find(({ factors }) => factors.passkeyHandle === handle),
    startSession(user, { amr, userAgent, authTime = nowS() }) {
      const now = new Date().toISOString();
      const session = {
        id: randomUUID(),
        user,
        userAgent,
        address: null,
        createdAt: now,
        lastUsedAt: now,
        authTime,
        amr,
      };
      const started = rotate({ ...session, refreshTokens: [], rotatedAt: 0 });
      sessions.set(started.id, started);
      positions.set(started.id, positions.size);
      return started;
    },
    findSession: sessionId => sessions.get(sessionId),
    listSessions(user, after, limit) {
      const positionOf = (id: string) => positions.get(id) ?? -1;
      const before = after === undefined ? Number.POSITIVE_INFINITY : positionOf(after);
      const left = sessionsOf(user)
        .filter(({ id }) => positionOf(id) < before)
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
      endSession(session.id);
      return undefined;
    },
    endSession,
    endSessions({ id, user }, scope) {
      for (const other of sessionsOf(user)) {
        if (scope === 'all' || (other.id === id) === (scope === 'current')) endSession(other.id);
      }
    },
    weakenSessions({ user, factors }) {
      if (highestAcr(factors) === 'aal2') return;
      for (const session of sessionsOf(user)) {
        if (session.amr.includes('mfa')) session.amr = session.amr.filter(method => method === 'pwd');
      }
    },
    endAllSessions({ user }) {
      for (const { id } of sessionsOf(user)) endSession(id);
    },
  };
}
