import {
  type PasskeyOptionsRequest,
  PasskeyRequestOptions,
  type PasskeySignInRequest,
  type SecondFactorRequest,
  type SignedIn,
  type SignInRequest,
} from '@latchkey/user-schema';
import type { ClientRequests } from '../lib/client-requests.js';
import type { RequestOptions } from '../request-options.js';

/** The methods of a client that sign in. */
export interface SignInMethods {
  /**
   * Signs in, which starts a session.
   *
   * @param credentials - `username` may be the account's verified e-mail address; a username takes precedence
   * @returns tokens and user
   * @throws AuthProblemError `invalid_credentials`: unknown username or address, wrong password or disabled account
   * @throws SecondFactorRequiredError when the password is right and the account has a second factor: `completeSignIn` is next
   * @throws AuthTransportError
   */
  signIn(credentials: SignInRequest, options?: RequestOptions): Promise<SignedIn>;
  /**
   * Completes a sign-in that was rejected with a {@link SecondFactorRequiredError}. The request is sent again only when no
   * connection was made, because a code and a challenge are good for one use.
   *
   * @param proof - the `challenge` of the error, and one of `totp`, `recoveryCode` and `passkey`: the response to the options of
   *   {@link SignInMethods.passkeySignInOptions} for that challenge
   * @returns tokens and user
   * @throws AuthProblemError `invalid_second_factor` (wrong or used: another can be tried), `invalid_challenge` (expired or
   *   used: sign in again), or `too_many_requests`
   * @throws AuthTransportError
   */
  completeSignIn(proof: SecondFactorRequest, options?: RequestOptions): Promise<SignedIn>;
  /**
   * Returns the options for `navigator.credentials.get()`. Nothing is stored, so that a page may ask for them when it loads.
   *
   * @param about - with the `challenge` of a {@link SecondFactorRequiredError}, for {@link SignInMethods.completeSignIn};
   *   otherwise for {@link SignInMethods.signInWithPasskey}
   * @throws AuthProblemError `invalid_challenge`, or `not_found` (the service or the account has no passkeys)
   * @throws AuthTransportError
   */
  passkeySignInOptions(about?: PasskeyOptionsRequest, options?: RequestOptions): Promise<PasskeyRequestOptions>;
  /**
   * Signs in with a passkey alone, which is as good as a password with a second factor. The request is sent again only when
   * no connection was made.
   *
   * @param assertion - `response` is what `navigator.credentials.get()` returned for the options, as JSON
   * @returns tokens and user
   * @throws AuthProblemError `invalid_passkey` (unknown, not accepted, used, or of a disabled account) or `too_many_requests`
   * @throws AuthTransportError
   */
  signInWithPasskey(assertion: PasskeySignInRequest, options?: RequestOptions): Promise<SignedIn>;
}

export function signInMethods({ request, requestSignedIn }: ClientRequests): SignInMethods {
  return {
    signIn: (json, options) => requestSignedIn('POST /auth/sign-in', { json, retry: 'refused', options }),
    completeSignIn: (json, options) =>
      requestSignedIn('POST /auth/sign-in/second-factor', { json, retry: 'unsent', options }),
    passkeySignInOptions: (json = {}, options) => {
      const expected = { status: 200, schema: PasskeyRequestOptions };
      return request('POST /auth/sign-in/passkey/options', expected, { json, retry: 'any', options });
    },
    signInWithPasskey: (json, options) =>
      requestSignedIn('POST /auth/sign-in/passkey', { json, retry: 'unsent', options }),
  };
}
