import type { ForgotPasswordRequest, PasswordChange, ResetPasswordRequest, SignedIn } from '@latchkey/user-schema';
import { ACCEPTED, bearer, type ClientRequests, NO_CONTENT } from '../lib/client-requests.js';
import type { RequestOptions } from '../request-options.js';

/** The methods of a client that change passwords. */
export interface PasswordMethods {
  /**
   * Changes the password and ends the account's other sessions; this one continues with the returned tokens. The request is
   * sent again only when no connection was made.
   *
   * @param token - a user's access token
   * @param change - without `currentPassword` for the first password of an account that has signed up with a passkey
   * @throws AuthProblemError `invalid_token`, `invalid_credentials` (the current password is wrong) or `password_rejected`
   *   (`problem.errors` has the reason); without `currentPassword` also `invalid_request` (the account has a password) or
   *   `insufficient_user_authentication`: the user must step up, as for {@link EmailMethods.setEmail}
   * @throws AuthTransportError
   */
  changePassword(token: string, change: PasswordChange, options?: RequestOptions): Promise<SignedIn>;
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
}

export function passwordMethods({ request, requestSignedIn }: ClientRequests): PasswordMethods {
  return {
    changePassword: (token, json, options) =>
      requestSignedIn('PUT /auth/password', { ...bearer(token), json, retry: 'unsent', options }),
    // Each that takes effect sends a mail.
    requestPasswordReset: (json, options) =>
      request('POST /auth/password/forgot', ACCEPTED, { json, retry: 'refused', options }),
    // Only the members of the contract: a mail of the test issuer's mailbox may be passed as it is.
    resetPassword: ({ token, newPassword }, options) =>
      request('POST /auth/password/reset', NO_CONTENT, { json: { token, newPassword }, retry: 'unsent', options }),
  };
}
