import type { Server } from 'node:http';
import { isUuid, REVOCATIONS_SCOPE, type SignedIn } from '@latchkey/user-schema';
import type { ServiceCredentials } from '../client.js';
import { type Account, createAccounts } from '../lib/testing/accounts.js';
import { createChallenges } from '../lib/testing/challenges.js';
import { createClients } from '../lib/testing/clients.js';
import { createTestFeed } from '../lib/testing/feed.js';
import { createLinks } from '../lib/testing/links.js';
import { serve } from '../lib/testing/listen.js';
import { createMailbox, type TestMailbox } from '../lib/testing/mailbox.js';
import type { IssuerState } from '../lib/testing/requests.js';
import { handleRequest } from '../lib/testing/routes.js';
import { createTestTokens } from '../lib/testing/tokens.js';
import { createTotpClock, decodeBase32 } from '../lib/testing/totp.js';

/** Options of {@link createTestIssuer}. */
export interface TestIssuerOptions {
  /** `iss` of its tokens; `http://auth.test` by default. */
  issuer?: string;
  /** `aud` of its tokens; `latchkey` by default. */
  audience?: string;
  /** Lifetime of an access token, in seconds; 600 by default. */
  accessTokenTtlS?: number;
  /** How long a used refresh token is exchanged for the same successor again, in seconds; 10 by default. */
  refreshGraceS?: number;
  /** Least length of a password, in characters; 8 by default. */
  passwordMinLength?: number;
  /** Who may sign up, as the service's `SIGN_UP`; `open` by default. */
  signUp?: 'open' | 'email' | 'closed';
  /** Whether everybody must have a second factor, as the service's `SECOND_FACTOR`; `optional` by default. */
  secondFactor?: 'optional' | 'required';
  /**
   * How long ago a user may have signed in to change the e-mail address or a second factor, in seconds; 600 by default.
   */
  reauthenticateAfterS?: number;
  /** Lifetime of the links in mails, in seconds; 3,600 by default. With 0, every link has expired. */
  linkTtlS?: number;
}

/** Options of {@link TestIssuer.signIn}. */
export interface TestSignInOptions {
  /** Becomes the account's verified e-mail address. */
  email?: string;
  /** When the user signed in, the claim `auth_time` of the session's tokens, in whole seconds since 1970; now by default. */
  authTime?: number;
  /**
   * How the user signed in (RFC 8176), the claim `amr` of the session's tokens; `['pwd']` by default. With `mfa`, the claim `acr`
   * is `aal2`.
   */
  amr?: readonly string[];
}

/** An auth-service in memory, for tests. */
export interface TestIssuer {
  issuer: string;
  audience: string;
  /** Credentials of a service with the scope `revocations:read`, for the option `client` of the verifier and the guard. */
  client: ServiceCredentials;
  /** Responds in process, whatever the origin of the URL. For the option `fetch` of client, verifier and guard. */
  fetch: typeof globalThis.fetch;
  /** Creates a client of a service. An existing client gets a new secret and these scopes. */
  addClient(id: string, scopes: string[]): ServiceCredentials;
  /**
   * Signs a user in without a password, also one who has a second factor. Creates the account when it does not exist.
   *
   * @throws TypeError when another account has verified the e-mail address
   */
  signIn(username: string, options?: TestSignInOptions): SignedIn;
  /**
   * Returns a code of an authenticator app that is valid and was not used: again and again, because the clock by which the issuer
   * checks codes moves on when it must. A later code makes those before invalid after a while, so use each at once.
   *
   * @param secretOrUsername - the `secret` of an enrolment, or the username of an account that has an authenticator app: that
   *   which awaits its confirmation, if there is one
   * @throws TypeError when it is neither
   */
  totpCode(secretOrUsername: string): string;
  /** The mails to users: links to verify addresses and to reset passwords, and notices. */
  mailbox: TestMailbox;
  /**
   * Signs a user's access token.
   *
   * @param claims - replace those of a made-up user; one that is `undefined` is left out
   * @param header - members that replace those of the header; one that is `undefined` is left out
   */
  token(claims?: object, header?: object): string;
  /**
   * Signs a service's access token.
   *
   * @param scope - a list separated by spaces
   * @param clientId - `test-service` by default
   */
  serviceToken(scope: string, clientId?: string): string;
  /**
   * Ends a session and adds it to the feed of ended sessions.
   *
   * @param sessionId - a UUID, the claim `sid` of its tokens
   */
  endSession(sessionId: string): void;
  /** Signs with a new key from now on. The old keys are still published, unless `distrust` is true. */
  rotateKeys(options?: { distrust?: boolean }): void;
  /**
   * Also responds over HTTP, until `close()`. Resolves with the URL, on a port of the loopback address: a free one by default. Libraries
   * that read the metadata demand that it is the `issuer`: give both the same port.
   */
  listen(options?: { port?: number }): Promise<string>;
  /** Stops responding: `fetch` then fails as without a network. */
  close(): Promise<void>;
}

/** Verifiers reject tokens with fractions, and milliseconds would be a sign-in of the far future, which is never too old. */
const isSeconds = (time: number) => Number.isSafeInteger(time) && time >= 0 && time < 1e11;

/**
 * Creates an issuer that implements the HTTP contract in memory, with keys of its own, so that consumers are tested without
 * an auth-service:
 *
 * ```ts
 * const auth = createTestIssuer();
 * await app.register(authGuard, { issuer: auth.issuer, audience: auth.audience, fetch: auth.fetch });
 * const { token } = auth.signIn('ada');
 * ```
 *
 * Its mails are in its mailbox: `const { token } = await auth.mailbox.next('ada@example.com')` is the token of a link.
 *
 * It is fast and not secure: passwords are kept in plain text, and only their length is checked.
 */
export function createTestIssuer(options: TestIssuerOptions = {}): TestIssuer {
  const { issuer = 'http://auth.test', audience = 'latchkey', accessTokenTtlS: ttlS = 600 } = options;
  const feed = createTestFeed();
  const tokens = createTestTokens({ issuer, audience, ttlS });
  const clients = createClients();
  // One second more than its newest token can have.
  const announce = (sid: string) => feed.append({ sid, exp: Math.floor(Date.now() / 1000) + ttlS + 1 });
  const accounts = createAccounts({ refreshGraceS: options.refreshGraceS ?? 10 }, announce);
  const mailbox = createMailbox(`${issuer}/account`);
  const state: IssuerState = {
    ...{ accounts, clients, feed, mailbox, tokens },
    links: createLinks(options.linkTtlS ?? 3600),
    passwordMinLength: options.passwordMinLength ?? 8,
    reauthenticateAfterS: options.reauthenticateAfterS ?? 600,
    challenges: createChallenges(),
    totpClock: createTotpClock(),
    rpId: new URL(issuer).hostname,
    secondFactor: options.secondFactor ?? 'optional',
    signUp: options.signUp ?? 'open',
  };
  const closing = new AbortController();
  const servers: Server[] = [];

  return {
    issuer,
    audience,
    client: clients.add('test-service', [REVOCATIONS_SCOPE]),
    addClient: clients.add,
    async fetch(input, init) {
      const { signal: given, ...rest } = init ?? {};
      const asked = given ?? (input instanceof Request ? input.signal : undefined);
      asked?.throwIfAborted();
      if (closing.signal.aborted) throw new TypeError('fetch failed');
      const ended = new AbortController();
      const abort = () => ended.abort(asked?.reason ?? new TypeError('fetch failed'));
      const signals = [closing.signal, ...(asked ? [asked] : [])];
      for (const signal of signals) signal.addEventListener('abort', abort);
      return handleRequest(state, new Request(input, rest), ended.signal).finally(() => {
        for (const signal of signals) signal.removeEventListener('abort', abort);
      });
    },
    signIn(username, { email, authTime, amr = ['pwd'] } = {}) {
      if (authTime !== undefined && !isSeconds(authTime))
        throw new TypeError('authTime must be whole seconds since 1970, such as Math.floor(Date.now() / 1000) - 700');
      const account = accounts.find(username) ?? (accounts.add({ username }) as Account);
      if (email !== undefined) {
        if ((accounts.findByEmail(email) ?? account) !== account) throw new TypeError(`Another account has ${email}.`);
        account.user.email = email;
      }
      const signIn = { amr, userAgent: null, ...(authTime !== undefined && { authTime }) };
      return tokens.signedIn(accounts.startSession(account.user, signIn));
    },
    totpCode(secretOrUsername) {
      const { pendingTotp, totp } = accounts.find(secretOrUsername)?.factors ?? {};
      const secret = pendingTotp ?? totp?.secret ?? decodeBase32(secretOrUsername);
      if (!secret)
        throw new TypeError(`"${secretOrUsername}" is neither a secret nor a user with an authenticator app.`);
      return state.totpClock.nextCode(secret, totp?.lastStep ?? 0);
    },
    mailbox: { next: mailbox.next },
    token: tokens.userToken,
    serviceToken: (scope, clientId = 'test-service') => tokens.serviceToken(clientId, scope).token,
    endSession(sessionId) {
      if (!isUuid(sessionId)) throw new TypeError('The id of a session is a UUID.');
      // The session of a token from `token()` does not exist, but its end is announced too.
      if (!accounts.endSession(sessionId)) announce(sessionId);
    },
    rotateKeys({ distrust = false } = {}) {
      tokens.rotateKeys(distrust);
      feed.append('keys');
    },
    async listen({ port = 0 } = {}) {
      const { server, url } = await serve((request, signal) => handleRequest(state, request, signal), port);
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
