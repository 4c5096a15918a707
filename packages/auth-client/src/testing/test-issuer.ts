import type { Server } from 'node:http';
import { REVOCATIONS_SCOPE, type SignedIn } from '@latchkey/user-schema';
import type { ServiceCredentials } from '../client.js';
import type { Fetch } from '../http.js';
import { type Account, createAccounts } from './accounts.js';
import { createClients } from './clients.js';
import { createTestFeed } from './feed.js';
import { createIssuing } from './issuing.js';
import { serve } from './listen.js';
import { answer, type World } from './routes.js';

/** Options of {@link createTestIssuer}. Durations are in seconds. */
export interface TestIssuerOptions {
  /** `iss` of its tokens; `http://auth.test` by default. */
  issuer?: string;
  /** `aud` of its tokens; `latchkey` by default. */
  audience?: string;
  /** Lifetime of an access token; 600 by default. */
  accessTokenTtlS?: number;
  /** How long a used refresh token still gives the same successor; 10 by default. */
  refreshGraceS?: number;
  /** In characters; 8 by default. */
  passwordMinLength?: number;
}

/** An auth-service in memory, for tests. */
export interface TestIssuer {
  issuer: string;
  audience: string;
  /** A service's client with the scope `revocations:read`, as the option `client` of the verifier takes it. */
  client: ServiceCredentials;
  /** Answers in process, whatever the origin: to be given as the option `fetch` of client, verifier and guard. */
  fetch: Fetch;
  /** Makes a service's client; one that is there gets another secret. */
  addClient(id: string, scopes: string[]): ServiceCredentials;
  /** Signs a user in at once, who gets an account without a password when there is none. */
  signIn(username: string): SignedIn;
  /**
   * Signs an access token of a made-up user with whatever claims and header members are given; those that are `undefined`
   * are left out.
   */
  token(claims?: object, header?: object): string;
  /** Signs an access token of a service; `scope` is a list separated by spaces. */
  serviceToken(scope: string, clientId?: string): string;
  /** Ends a session; the feed tells. */
  endSession(sessionId: string): void;
  /** Signs with a new key from now on. The old ones are still published, unless they are distrusted. */
  rotateKeys(options?: { distrust?: boolean }): void;
  /** Also answers over HTTP, until it is closed. Resolves with the URL, on the loopback address. */
  listen(): Promise<string>;
  /** Answers nobody any more: calls fail as if there was no network. */
  close(): Promise<void>;
}

/**
 * Makes an issuer that answers the HTTP contract from memory, with keys of its own, so that consumers test without
 * auth-service:
 *
 * ```ts
 * const auth = createTestIssuer();
 * await app.register(authGuard, { issuer: auth.issuer, audience: auth.audience, fetch: auth.fetch });
 * const { token } = auth.signIn('ada');
 * ```
 *
 * It is quick and not safe: passwords are kept as they are, and only their length is judged.
 */
export function createTestIssuer(options: TestIssuerOptions = {}): TestIssuer {
  const { issuer = 'http://auth.test', audience = 'latchkey', accessTokenTtlS: ttlS = 600 } = options;
  const feed = createTestFeed();
  const issuing = createIssuing({ issuer, audience, ttlS });
  const clients = createClients();
  // One second more than the newest token of it can have.
  const tell = (sid: string) => feed.append({ sid, exp: Math.floor(Date.now() / 1000) + ttlS + 1 });
  const accounts = createAccounts({ refreshGraceS: options.refreshGraceS ?? 10 }, tell);
  const world: World = { accounts, clients, feed, issuing, passwordMinLength: options.passwordMinLength ?? 8 };
  const closing = new AbortController();
  const servers: Server[] = [];

  return {
    issuer,
    audience,
    client: clients.add('test-service', [REVOCATIONS_SCOPE]),
    addClient: clients.add,
    async fetch(url, init) {
      init.signal?.throwIfAborted();
      if (closing.signal.aborted) throw new TypeError('fetch failed');
      const gone = new AbortController();
      const abort = () => gone.abort(init.signal?.reason ?? new TypeError('fetch failed'));
      const signals = [closing.signal, ...(init.signal ? [init.signal] : [])];
      for (const signal of signals) signal.addEventListener('abort', abort);
      const { signal: _, ...rest } = init;
      return answer(world, new Request(url, rest), gone.signal).finally(() => {
        for (const signal of signals) signal.removeEventListener('abort', abort);
      });
    },
    signIn(username) {
      const account = accounts.find(username) ?? (accounts.add({ username }) as Account);
      return issuing.signedIn(accounts.begin(account.user, null));
    },
    token: issuing.token,
    serviceToken: (scope, clientId = 'test-service') => issuing.serviceToken(clientId, scope).token,
    endSession(sessionId) {
      // Also of a token that was made up.
      if (!accounts.end(sessionId)) tell(sessionId);
    },
    rotateKeys({ distrust = false } = {}) {
      issuing.rotate(distrust);
      feed.append('keys');
    },
    async listen() {
      const { server, url } = await serve((request, signal) => answer(world, request, signal));
      servers.push(server);
      return url;
    },
    async close() {
      closing.abort();
      for (const server of servers) {
        server.closeAllConnections();
        await new Promise(resolve => server.close(resolve));
      }
    },
  };
}
