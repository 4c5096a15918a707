import {
  EmailState,
  type ForgotPasswordRequest,
  type PasswordChange,
  PREFER_PACKED,
  type ResetPasswordRequest,
  type Revocations,
  ServiceToken,
  type Session,
  Sessions,
  type SetEmailRequest,
  type SignedIn,
  type SignInRequest,
  type SignOutScope,
  type SignUpRequest,
  type User,
  type VerifyEmailRequest,
} from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { SignUpPendingError } from './errors.js';
import { idempotencyHeaders } from './lib/idempotency-key.js';
import { ReceivedSignedIn, ReceivedUser, toUser, withUser } from './lib/received-user.js';
import { RevocationsPage } from './lib/schema-check.js';
import { createServiceRequest, type ServiceRequest } from './lib/service-request.js';
import type { AuthClientOptions, RequestOptions } from './request-options.js';

/** The client id and secret of a service at the auth-service (RFC 6749 §2.3.1). */
export interface ServiceCredentials {
  /** Id of the service's client. */
  id: string;
  secret: string;
}

/** Options of {@link AuthClient.signUp} and {@link AuthClient.requestSignUp}. */
export interface SignUpOptions extends RequestOptions {
  /**
   * Identifies this sign-up, so that repeating it returns the same account: 1 to 255 visible ASCII characters that no other
   * sign-up uses. A random key for each `signUp` by default. An application that keeps one with its form can send the form
   * again for 24 hours, also after a reload (draft-ietf-httpapi-idempotency-key-header-07).
   */
  idempotencyKey?: string;
}

/**
 * Typed client of the auth-service. Every method rejects with an {@link AuthClientError}: `AuthProblemError` when the
 * service refused the request, `AuthTransportError` when no valid response of the service came back.
 */
export interface AuthClient {
  /**
   * Creates an account and signs it in. The request is sent again when its response is lost: the service recognizes the
   * `Idempotency-Key` and responds with the same account and session.
   *
   * For a service with `SIGN_UP=open`. Where the setting may be `email`, call {@link AuthClient.requestSignUp}.
   *
   * @param account - username and password of the new account, and `email`, to which the service mails a link that verifies it
   * @returns tokens and user
   * @throws AuthProblemError `username_taken`, `password_rejected` (`problem.errors` has the reason), `invalid_request`,
   *   `idempotency_key_reused` when a sign-up with that key had another password, or `sign_up_closed` (`SIGN_UP=closed`)
   * @throws SignUpPendingError when the service mailed a link that must be opened first (`SIGN_UP=email`)
   * @throws AuthTransportError
   * @throws TypeError when `idempotencyKey` is not 1 to 255 visible ASCII characters
   */
  signUp(account: SignUpRequest, options?: SignUpOptions): Promise<SignedIn>;
  /**
   * Signs up at a service with any setting of `SIGN_UP`. With `open` this is {@link AuthClient.signUp}. With `email` it is
   * `pending`, whether or not the username and the address are known already: what happens next is told by mail, and when the
   * token of its link has been passed to {@link AuthClient.verifyEmail}, the user can sign in.
   *
   * @returns tokens and user, or `pending`
   * @throws AuthProblemError as `signUp` does; with `SIGN_UP=email` never `username_taken`
   * @throws AuthTransportError
   * @throws TypeError when `idempotencyKey` is not 1 to 255 visible ASCII characters
   */
  requestSignUp(account: SignUpRequest, options?: SignUpOptions): Promise<SignedIn | 'pending'>;
  /**
   * Signs in, which starts a session.
   *
   * @param credentials - `username` may be the account's verified e-mail address; a username takes precedence
   * @returns tokens and user
   * @throws AuthProblemError `invalid_credentials`: unknown username or address, wrong password or disabled account
   * @throws AuthTransportError
   */
  signIn(credentials: SignInRequest, options?: RequestOptions): Promise<SignedIn>;
  /**
   * Exchanges a refresh token for new tokens. Each refresh token is good for one exchange, so keep the new one. The request
   * is sent again when its response is lost: for some seconds the service responds with the same successor.
   *
   * @throws AuthProblemError `invalid_refresh_token`: the session has ended, and the user must sign in again
   * @throws AuthTransportError
   */
  refresh(refreshToken: string, options?: RequestOptions): Promise<SignedIn>;
  /**
   * Ends sessions of the account. The request is sent again only when no connection was made.
   *
   * @param token - a user's access token
   * @param scope - `current` (the default) ends the token's session, `others` all but that one, `all` every one
   * @throws AuthProblemError `invalid_token`: the session has ended already, or the token has expired
   * @throws AuthTransportError
   */
  signOut(token: string, scope?: SignOutScope, options?: RequestOptions): Promise<void>;
  /**
   * Lists the account's live sessions, the newest first, up to 1,000. They come in pages of 100; the deadline holds for
   * each page.
   *
   * @param token - a user's access token
   * @throws AuthProblemError `invalid_token`
   * @throws AuthTransportError
   */
  sessions(token: string, options?: RequestOptions): Promise<Session[]>;
  /**
   * Ends one of the account's sessions. The request is sent again only when no connection was made.
   *
   * @param token - a user's access token
   * @param sessionId - `id` of one of the {@link AuthClient.sessions}
   * @throws AuthProblemError `invalid_token`, or `not_found` when the account has no such live session
   * @throws AuthTransportError
   */
  endSession(token: string, sessionId: string, options?: RequestOptions): Promise<void>;
  /**
   * Changes the password and ends the account's other sessions; this one continues with the returned tokens. The request is
   * sent again only when no connection was made.
   *
   * @param token - a user's access token
   * @throws AuthProblemError `invalid_token`, `invalid_credentials` (the current password is wrong) or `password_rejected`
   *   (`problem.errors` has the reason)
   * @throws AuthTransportError
   */
  changePassword(token: string, change: PasswordChange, options?: RequestOptions): Promise<SignedIn>;
  /**
   * Returns the account's verified e-mail address, and the one that awaits its verification.
   *
   * @param token - a user's access token
   * @throws AuthProblemError `invalid_token`
   * @throws AuthTransportError
   */
  getEmail(token: string, options?: RequestOptions): Promise<EmailState>;
  /**
   * Mails a link to an address, and a notice to the verified one, if any. The address becomes the account's when the token of
   * the link has been passed to {@link AuthClient.verifyEmail}; until then nothing changes. The link of an earlier `setEmail`
   * is void. The request is sent again only when the service refused it with `Retry-After`.
   *
   * @param token - an access token of a user who signed in not long ago
   * @throws AuthProblemError `invalid_token`, `invalid_request` (this is no e-mail address), `too_many_requests`, or
   *   `insufficient_user_authentication`: the user must sign in again; `maxAgeS` and `acr` say what the service asks for
   * @throws AuthTransportError
   */
  setEmail(token: string, change: SetEmailRequest, options?: RequestOptions): Promise<void>;
  /**
   * Removes the e-mail address from the account, and mails a notice to it. The request is sent again only when no connection
   * was made.
   *
   * @param token - an access token of a user who signed in not long ago
   * @throws AuthProblemError `invalid_token`, or `insufficient_user_authentication` as {@link AuthClient.setEmail}
   * @throws AuthTransportError
   */
  removeEmail(token: string, options?: RequestOptions): Promise<void>;
  /**
   * Verifies an e-mail address, or a sign-up that was `pending`. Call it when the user has confirmed, and not when a page
   * loads: programs that scan mails open links and run scripts. The request is sent again only when no connection was made.
   *
   * @param verification - `token` is what follows `#token=` in the link
   * @throws AuthProblemError `invalid_one_time_token` (expired, used, replaced by a newer one, or made up) or `email_taken`
   *   (another account has verified the address first)
   * @throws AuthTransportError
   */
  verifyEmail(verification: VerifyEmailRequest, options?: RequestOptions): Promise<void>;
  /**
   * Has a link mailed that resets a forgotten password. Succeeds whether or not an account has verified the address, so show
   * the same page in any case. The request is sent again only when the service refused it with `Retry-After`.
   *
   * @throws AuthProblemError `invalid_request` (this is no e-mail address) or `too_many_requests`
   * @throws AuthTransportError
   */
  requestPasswordReset(request: ForgotPasswordRequest, options?: RequestOptions): Promise<void>;
  /**
   * Sets a new password by the token of a link, and ends all sessions of the account. Signs nobody in. The request is sent
   * again only when no connection was made.
   *
   * @param reset - `token` is what follows `#token=` in the link
   * @throws AuthProblemError `invalid_one_time_token` (expired, used, replaced by a newer one, or made up), or
   *   `password_rejected` (`problem.errors` has the reason), after which the token can be used again
   * @throws AuthTransportError
   */
  resetPassword(reset: ResetPasswordRequest, options?: RequestOptions): Promise<void>;
  /**
   * Returns the user of an access token, as the service knows it now.
   *
   * @param token - a user's access token
   * @throws AuthProblemError `invalid_token`
   * @throws AuthTransportError
   */
  me(token: string, options?: RequestOptions): Promise<User>;
  /**
   * Fetches an access token of a service by client credentials (RFC 6749 §4.4). `createServiceTokens` does this when needed
   * and keeps the token.
   *
   * @param credentials - `scope` is a list separated by spaces; all scopes of the client by default
   * @returns the response of RFC 6749 §5.1; `expires_in` is in seconds
   * @throws AuthProblemError `invalid_client` or `invalid_scope`
   * @throws AuthTransportError
   */
  serviceToken(credentials: ServiceCredentials & { scope?: string }, options?: RequestOptions): Promise<ServiceToken>;
  /**
   * Reads a page of the feed of ended sessions. While `more` is true, the next page can be read at once.
   *
   * @param token - a service's access token with the scope `revocations:read`
   * @param from - `after` is the `cursor` of the page before; without it the feed begins with every ended session whose
   *   access tokens may still live. When nothing is new, the service waits up to `wait` seconds (30 at most, 0 by default)
   *   before it responds; the deadline of the request is later by `wait`. With `packed` the page has its sessions in `packed`
   *   in place of `revoked`, a third of the bytes; a service of an earlier version does not know that, and sends `revoked`.
   * @throws AuthProblemError `invalid_token`, `insufficient_scope`, `invalid_request` (`after` is not a cursor of this
   *   feed), or `service_unavailable` while the service cannot read its database
   * @throws AuthTransportError
   */
  revocations(
    token: string,
    from?: { after?: string; wait?: number; packed?: boolean },
    options?: RequestOptions,
  ): Promise<Revocations>;
}

type RequestArguments = Parameters<ServiceRequest>;
type SignedInRequest = (line: RequestArguments[0], details: RequestArguments[2]) => Promise<SignedIn>;

// A page of the service has some 5,000 sessions of 80 bytes. Earlier versions sent all sessions in one response.
const MAX_FEED_BYTES = 16 * 1024 * 1024;

// With 100 sessions a page: a list for people need not be longer than 1,000.
const MAX_PAGES = 10;

/**
 * Creates a client of the auth-service.
 *
 * ```ts
 * const auth = createAuthClient({ baseUrl: 'http://localhost:3000' });
 * const { token, user } = await auth.signIn({ username, password });
 * ```
 *
 * @throws TypeError when `baseUrl` is not an http(s) URL, or has credentials, a query or a fragment
 */
export function createAuthClient(clientOptions: AuthClientOptions): AuthClient {
  const request = createServiceRequest(clientOptions);
  const accepted = { status: 202, schema: Type.Undefined() };
  const noContent = { status: 204, schema: Type.Undefined() };
  const requestSignedIn: SignedInRequest = async (line, details) =>
    withUser(await request(line, { status: 200, schema: ReceivedSignedIn }, details));

  const requestSignUp: AuthClient['requestSignUp'] = async (json, options) => {
    const expected = { status: [201, 202], schema: Type.Union([ReceivedSignedIn, Type.Undefined()]) };
    const headers = idempotencyHeaders(options?.idempotencyKey);
    const signedIn = await request('POST /auth/sign-up', expected, { json, headers, retry: 'any', options });
    return signedIn ? withUser(signedIn) : 'pending';
  };

  return {
    signUp: async (account, options) => {
      const outcome = await requestSignUp(account, options);
      if (outcome === 'pending') throw new SignUpPendingError();
      return outcome;
    },
    requestSignUp,
    signIn: (json, options) => requestSignedIn('POST /auth/sign-in', { json, retry: 'refused', options }),
    refresh: (refreshToken, options) =>
      requestSignedIn('POST /auth/refresh', { json: { refreshToken }, retry: 'any', options }),
    // A 503 may follow a change that was made; a retry would then be refused. So these are retried only when unsent.
    signOut: (token, scope = 'current', options) =>
      request('POST /auth/sign-out', noContent, { ...bearer(token), json: { scope }, retry: 'unsent', options }),
    endSession: (token, id, options) => {
      const line = `DELETE /auth/sessions/${encodeURIComponent(id)}` as const;
      return request(line, noContent, { ...bearer(token), retry: 'unsent', options });
    },
    changePassword: (token, json, options) =>
      requestSignedIn('PUT /auth/password', { ...bearer(token), json, retry: 'unsent', options }),
    removeEmail: (token, options) =>
      request('DELETE /auth/email', noContent, { ...bearer(token), retry: 'unsent', options }),
    // Only the members of the contract: a mail of the test issuer's mailbox may be passed as it is.
    verifyEmail: ({ token }, options) =>
      request('POST /auth/email/verify', noContent, { json: { token }, retry: 'unsent', options }),
    resetPassword: ({ token, newPassword }, options) =>
      request('POST /auth/password/reset', noContent, { json: { token, newPassword }, retry: 'unsent', options }),
    // Each of these that takes effect sends a mail.
    setEmail: (token, json, options) =>
      request('PUT /auth/email', accepted, { ...bearer(token), json, retry: 'refused', options }),
    requestPasswordReset: (json, options) =>
      request('POST /auth/password/forgot', accepted, { json, retry: 'refused', options }),
    getEmail: (token, options) =>
      request('GET /auth/email', { status: 200, schema: EmailState }, { ...bearer(token), retry: 'any', options }),
    sessions: async (token, options) => {
      const all: Session[] = [];
      let query = '';
      for (let page = 0; page < MAX_PAGES; page++) {
        const expected = { status: 200, schema: Sessions };
        const details = { ...bearer(token), retry: 'any' as const, options };
        const { sessions, next } = await request(`GET /auth/sessions${query}`, expected, details);
        all.push(...sessions);
        if (next === undefined) break;
        query = `?${new URLSearchParams({ after: next })}`;
      }
      return all;
    },
    me: async (token, options) => {
      const expected = { status: 200, schema: ReceivedUser };
      return toUser(await request('GET /auth/me', expected, { ...bearer(token), retry: 'any', options }));
    },
    serviceToken: ({ id, secret, scope }, options) => {
      const form = { grant_type: 'client_credentials', ...(scope !== undefined && { scope }) };
      const expected = { status: 200, schema: ServiceToken };
      return request('POST /oauth/token', expected, { ...basic(id, secret), form, retry: 'any', options });
    },
    revocations: (token, { after, wait = 0, packed = false } = {}, options) => {
      const query = new URLSearchParams({ wait: `${wait}`, ...(after !== undefined && { after }) });
      const expected = { status: 200, schema: RevocationsPage, maxBytes: MAX_FEED_BYTES };
      const timeoutMs = wait * 1000 + (options?.timeoutMs ?? clientOptions.timeoutMs ?? 10_000);
      const headers: Record<string, string> = packed ? { prefer: PREFER_PACKED } : {};
      const details = { ...bearer(token), headers, retry: 'any' as const, options: { ...options, timeoutMs } };
      return request(`GET /auth/revocations?${query}`, expected, details);
    },
  };
}

function bearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}

/** HTTP Basic. Id and secret are form-encoded first (RFC 6749 §2.3.1), so `btoa` gets ASCII only. */
function basic(id: string, secret: string): { authorization: string } {
  const encode = (text: string) => new URLSearchParams({ _: text }).toString().slice('_='.length);
  return { authorization: `Basic ${btoa(`${encode(id)}:${encode(secret)}`)}` };
}
