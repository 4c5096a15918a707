import { type Session, Sessions, type SignedIn, type SignOutScope, type User } from '@latchkey/user-schema';
import { bearer, type ClientRequests, NO_CONTENT } from '../lib/client-requests.js';
import { ReceivedUser, toUser } from '../lib/received-user.js';
import type { RequestOptions } from '../request-options.js';

/** The methods of a client that are about sessions. */
export interface SessionMethods {
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
   * @param sessionId - `id` of one of the {@link SessionMethods.sessions}
   * @throws AuthProblemError `invalid_token`, or `not_found` when the account has no such live session
   * @throws AuthTransportError
   */
  endSession(token: string, sessionId: string, options?: RequestOptions): Promise<void>;
  /**
   * Returns the user of an access token, as the service knows it now.
   *
   * @param token - a user's access token
   * @throws AuthProblemError `invalid_token`
   * @throws AuthTransportError
   */
  me(token: string, options?: RequestOptions): Promise<User>;
}

// With 100 sessions a page: a list for people need not be longer than 1,000.
const MAX_PAGES = 10;

export function sessionMethods({ request, requestSignedIn }: ClientRequests): SessionMethods {
  return {
    refresh: (refreshToken, options) =>
      requestSignedIn('POST /auth/refresh', { json: { refreshToken }, retry: 'any', options }),
    // A 503 may follow a change that was made; a retry would then be refused. So these are retried only when unsent.
    signOut: (token, scope = 'current', options) =>
      request('POST /auth/sign-out', NO_CONTENT, { ...bearer(token), json: { scope }, retry: 'unsent', options }),
    endSession: (token, id, options) => {
      const line = `DELETE /auth/sessions/${encodeURIComponent(id)}` as const;
      return request(line, NO_CONTENT, { ...bearer(token), retry: 'unsent', options });
    },
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
  };
}
