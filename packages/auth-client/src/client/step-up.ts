import { PasskeyRequestOptions, type SignedIn, type StepUpProof } from '@latchkey/user-schema';
import { bearer, type ClientRequests } from '../lib/client-requests.js';
import type { RequestOptions } from '../request-options.js';

/** The methods of a client by which users prove again who they are. */
export interface StepUpMethods {
  /**
   * Proves again who is signed in, in the same session (RFC 9470): the returned tokens have a new `auth_time`, and `acr` `aal2`
   * after a second factor or a passkey. The refresh token before is good for some seconds more. The request is sent again only
   * when no connection was made; with a password also when the service refused it with `Retry-After`.
   *
   * @param token - a user's access token
   * @param proof - one of `password`, `totp`, `recoveryCode` and `passkey`: the response to the options of
   *   {@link StepUpMethods.stepUpPasskeyOptions}
   * @throws AuthProblemError `invalid_token`, `invalid_credentials` (wrong password), `invalid_second_factor` (wrong or used),
   *   `too_many_requests`, or `insufficient_user_authentication`: a password does not do for a session that has `aal2`, while
   *   the account has a second factor
   * @throws AuthTransportError
   */
  stepUp(token: string, proof: StepUpProof, options?: RequestOptions): Promise<SignedIn>;
  /**
   * Returns the options for `navigator.credentials.get()`, for a passkey of the account as the proof of
   * {@link StepUpMethods.stepUp}. Nothing is stored.
   *
   * @param token - a user's access token
   * @throws AuthProblemError `invalid_token`, or `not_found` (the service or the account has no passkeys)
   * @throws AuthTransportError
   */
  stepUpPasskeyOptions(token: string, options?: RequestOptions): Promise<PasskeyRequestOptions>;
}

export function stepUpMethods({ request, requestSignedIn }: ClientRequests): StepUpMethods {
  return {
    stepUp: (token, json, options) => {
      // Only passwords wait for a hash, and are good for another try.
      const retry = 'password' in json ? 'refused' : 'unsent';
      return requestSignedIn('POST /auth/step-up', { ...bearer(token), json, retry, options });
    },
    stepUpPasskeyOptions: (token, options) => {
      const expected = { status: 200, schema: PasskeyRequestOptions };
      return request('POST /auth/step-up/passkey/options', expected, { ...bearer(token), retry: 'any', options });
    },
  };
}
