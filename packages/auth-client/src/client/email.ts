import { EmailState, type SetEmailRequest, type VerifyEmailRequest } from '@latchkey/user-schema';
import { ACCEPTED, bearer, type ClientRequests, NO_CONTENT } from '../lib/client-requests.js';
import type { RequestOptions } from '../request-options.js';

/** The methods of a client that are about e-mail addresses. */
export interface EmailMethods {
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
   * the link has been passed to `verifyEmail`; until then nothing changes. The link of an earlier `setEmail`
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
}

export function emailMethods({ request }: ClientRequests): EmailMethods {
  return {
    getEmail: (token, options) =>
      request('GET /auth/email', { status: 200, schema: EmailState }, { ...bearer(token), retry: 'any', options }),
    // Each that takes effect sends a mail.
    setEmail: (token, json, options) =>
      request('PUT /auth/email', ACCEPTED, { ...bearer(token), json, retry: 'refused', options }),
    removeEmail: (token, options) =>
      request('DELETE /auth/email', NO_CONTENT, { ...bearer(token), retry: 'unsent', options }),
    // Only the members of the contract: a mail of the test issuer's mailbox may be passed as it is.
    verifyEmail: ({ token }, options) =>
      request('POST /auth/email/verify', NO_CONTENT, { json: { token }, retry: 'unsent', options }),
  };
}
