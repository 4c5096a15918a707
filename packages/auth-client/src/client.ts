import {
  type Credentials,
  type PasswordChange,
  type Revocations,
  ServiceToken,
  type Session,
  Sessions,
  SignedIn,
  type SignOutScope,
  User,
} from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { keyHeaders } from './idempotency-key.js';
import { type AuthClientOptions, type CallOptions, createRequest } from './request.js';
import { RevocationsPage } from './schema-check.js';

/** What a service proves itself with at the auth-service (RFC 6749 §2.3.1). */
export interface ServiceCredentials {
  /** Id of the service's client. */
  id: string;
  secret: string;
}

/** Options of a sign-up. */
export interface SignUpOptions extends CallOptions {
  /**
   * Names this sign-up, so that making it again gives the same account: 1 to 255 visible ASCII characters that nobody else
   * would choose. Each call has a new one by default. Keep one with a form, and the form may be sent again, after a reload
   * too, for 24 hours.
   */
  idempotencyKey?: string;
}

/**
 * The auth-service, typed. Every call rejects with an {@link AuthClientError}: `AuthProblemError` when the service
 * refused it, `AuthTransportError` when no answer of the service came back.
 */
export interface AuthClient {
  /**
   * Makes an account and signs it in. Sent again when the answer is lost: by its `Idempotency-Key` the service knows it,
   * and answers with the same account and session.
   *
   * Refused with `username_taken`, `password_rejected` (the reason is in `problem.errors`), `invalid_request`, or
   * `idempotency_key_reused` when the username was signed up with that key and another password.
   *
   * @throws TypeError when `idempotencyKey` cannot be one
   */
  signUp(credentials: Credentials, options?: SignUpOptions): Promise<SignedIn>;
  /** Signs in. Refused with `invalid_credentials`, whatever the cause. */
  signIn(credentials: Credentials, options?: CallOptions): Promise<SignedIn>;
  /**
   * Exchanges a refresh token for new tokens. Keep the new refresh token: the old one is used up. Sent again when the
   * answer is lost, which the service answers with the same tokens' successor for some seconds.
   *
   * Refused with `invalid_refresh_token`: the session has ended, sign in again.
   */
  refresh(refreshToken: string, options?: CallOptions): Promise<SignedIn>;
  /**
   * Ends the current session (by default), the others, or all. Sent again only when the service cannot have seen it.
   *
   * Refused with `invalid_token` when the session has ended already.
   */
  signOut(token: string, scope?: SignOutScope, options?: CallOptions): Promise<void>;
  /**
   * Lists the account's live sessions, the newest first, up to 1,000. The service answers in pages of 100, and each has the
   * deadline of a call.
   */
  sessions(token: string, options?: CallOptions): Promise<Session[]>;
  /**
   * Ends one of the account's sessions. Sent again only when the service cannot have seen it.
   *
   * Refused with `not_found` when there is no such live session.
   */
  endSession(token: string, sessionId: string, options?: CallOptions): Promise<void>;
  /**
   * Changes the password; every other session ends, and this one goes on with the tokens of the answer. Sent again only
   * when the service cannot have seen it.
   *
   * Refused with `invalid_credentials` (the current password is wrong) or `password_rejected`.
   */
  changePassword(token: string, change: PasswordChange, options?: CallOptions): Promise<SignedIn>;
  /** Tells whose access token this is, asking the service. Refused with `invalid_token`. */
  me(token: string, options?: CallOptions): Promise<User>;
  /**
   * Gets an access token for a service by client credentials (RFC 6749 §4.4); `scope` is a list separated by spaces, all
   * that the client may have by default. `createServiceTokens` does this when needed and keeps the token.
   *
   * Refused with `invalid_client` or `invalid_scope`.
   */
  serviceToken(credentials: ServiceCredentials & { scope?: string }, options?: CallOptions): Promise<ServiceToken>;
  /**
   * Reads the feed of ended sessions, with a service's token that has the scope `revocations:read`, a page at a time. Without
   * `after` it begins with all that are in force; with it, the `cursor` of the response before, it returns what is new since,
   * for which it waits up to `wait` seconds (30 at most). While `more` is true, read on from the cursor at once. The deadline
   * of the call is later by `wait`.
   *
   * Refused with `invalid_token` or `insufficient_scope`, and with `service_unavailable` when the service itself does not
   * know the newest.
   */
  revocations(token: string, from?: { after?: string; wait?: number }, options?: CallOptions): Promise<Revocations>;
}

// A page of the service has some 5,000 sessions of 80 bytes; versions before gave all at once.
const MAX_FEED_BYTES = 16 * 1024 * 1024;

// A thousand sessions are more than a person has use for.
const MAX_PAGES = 10;

/**
 * Makes a client of the auth-service.
 *
 * @throws TypeError when `baseUrl` is not an http(s) URL or holds credentials
 */
export function createAuthClient(options: AuthClientOptions): AuthClient {
  const request = createRequest(options);
  const signedIn = { status: 200, schema: SignedIn };
  const nothing = { status: 204, schema: Type.Undefined() };

  return {
    signUp: async (json, call) => {
      const how = { json, headers: keyHeaders(call?.idempotencyKey), retry: 'any' as const, call };
      return request('POST /auth/sign-up', { ...signedIn, status: 201 }, how);
    },
    signIn: (json, call) => request('POST /auth/sign-in', signedIn, { json, retry: 'refused', call }),
    refresh: (refreshToken, call) =>
      request('POST /auth/refresh', signedIn, { json: { refreshToken }, retry: 'any', call }),
    // A 503 may come after the change was made, and the next try would be refused: for these it is no reason to try again.
    signOut: (token, scope = 'current', call) =>
      request('POST /auth/sign-out', nothing, { as: bearer(token), json: { scope }, retry: 'unsent', call }),
    endSession: (token, id, call) =>
      request(`DELETE /auth/sessions/${encodeURIComponent(id)}`, nothing, { as: bearer(token), retry: 'unsent', call }),
    changePassword: (token, json, call) =>
      request('PUT /auth/password', signedIn, { as: bearer(token), json, retry: 'unsent', call }),
    sessions: async (token, call) => {
      const how = { as: bearer(token), retry: 'any' as const, call };
      const answer = { status: 200, schema: Sessions };
      const all: Session[] = [];
      let query = '';
      for (let page = 0; page < MAX_PAGES; page++) {
        const { sessions, next } = await request(`GET /auth/sessions${query}`, answer, how);
        all.push(...sessions);
        if (next === undefined) break;
        query = `?${new URLSearchParams({ after: next })}`;
      }
      return all;
    },
    me: (token, call) =>
      request('GET /auth/me', { status: 200, schema: User }, { as: bearer(token), retry: 'any', call }),
    serviceToken: ({ id, secret, scope }, call) => {
      const form = { grant_type: 'client_credentials', ...(scope !== undefined && { scope }) };
      const how = { as: basic(id, secret), form, retry: 'any' as const, call };
      return request('POST /oauth/token', { status: 200, schema: ServiceToken }, how);
    },
    revocations: (token, { after, wait = 0 } = {}, call) => {
      const query = new URLSearchParams({ wait: `${wait}`, ...(after !== undefined && { after }) });
      const answer = { status: 200, schema: RevocationsPage, maxBytes: MAX_FEED_BYTES };
      const timeoutMs = wait * 1000 + (call?.timeoutMs ?? options.timeoutMs ?? 10_000);
      const how = { as: bearer(token), retry: 'any' as const, call: { ...call, timeoutMs } };
      return request(`GET /auth/revocations?${query}`, answer, how);
    },
  };
}

function bearer(token: string): string {
  return `Bearer ${token}`;
}

/** HTTP Basic, each part as in a form first (RFC 6749 §2.3.1), which leaves ASCII only. */
function basic(id: string, secret: string): string {
  const encode = (text: string) => new URLSearchParams({ _: text }).toString().slice('_='.length);
  return `Basic ${btoa(`${encode(id)}:${encode(secret)}`)}`;
}
