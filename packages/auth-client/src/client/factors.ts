import { Factors, RecoveryCodes, type TotpConfirmation, TotpEnrolment } from '@latchkey/user-schema';
import { bearer, type ClientRequests, NO_CONTENT } from '../lib/client-requests.js';
import type { RequestOptions } from '../request-options.js';

/**
 * The methods of a client for authenticator apps and recovery codes. Those that say so need a token of a user who signed in or
 * stepped up not long ago, with a second factor where the account has one. Otherwise they reject with the code
 * `insufficient_user_authentication`; `maxAgeS` and `acr` say what the service asks for.
 */
export interface FactorMethods {
  /**
   * Returns what proves the account: whether it has a password, its authenticator app, its recovery codes and its passkeys.
   *
   * @param token - a user's access token
   * @throws AuthProblemError `invalid_token`
   * @throws AuthTransportError
   */
  factors(token: string, options?: RequestOptions): Promise<Factors>;
  /**
   * Makes a secret for an authenticator app. It counts when a code of it has been passed to
   * {@link FactorMethods.confirmTotp}, within an hour; until then nothing changes. The secret of an earlier call is void. The
   * request is sent again only when the service refused it with `Retry-After`.
   *
   * @param token - an access token of a user who signed in not long ago
   * @throws AuthProblemError `invalid_token` or `insufficient_user_authentication`
   * @throws AuthTransportError
   */
  startTotp(token: string, options?: RequestOptions): Promise<TotpEnrolment>;
  /**
   * Confirms an authenticator app, which replaces the one before: from now on, a password alone does not sign in. The next
   * refresh of the session has `acr` `aal2`. The request is sent again only when no connection was made.
   *
   * @param token - a user's access token
   * @param confirmation - `totp` is the code that the app shows
   * @returns ten recovery codes, to be shown once; earlier ones are void
   * @throws AuthProblemError `invalid_token`, `invalid_second_factor` (wrong code), `not_found` (no secret was made, or too long
   *   ago), `too_many_requests`, or `insufficient_user_authentication` when the account has got a factor that this session has not
   *   proved
   * @throws AuthTransportError
   */
  confirmTotp(token: string, confirmation: TotpConfirmation, options?: RequestOptions): Promise<RecoveryCodes>;
  /**
   * Removes the authenticator app; without a passkey, the recovery codes are void too. The request is sent again only when no
   * connection was made.
   *
   * @param token - an access token of a user who signed in not long ago
   * @throws AuthProblemError `invalid_token` or `insufficient_user_authentication`
   * @throws AuthTransportError
   */
  removeTotp(token: string, options?: RequestOptions): Promise<void>;
  /**
   * Makes ten recovery codes, to be shown once; earlier ones are void. The request is sent again only when the service refused
   * it with `Retry-After`.
   *
   * @param token - an access token of a user who signed in not long ago
   * @throws AuthProblemError `invalid_token`, `insufficient_user_authentication`, or `not_found` when the account has no factor
   *   for which they could stand
   * @throws AuthTransportError
   */
  makeRecoveryCodes(token: string, options?: RequestOptions): Promise<RecoveryCodes>;
}

export function factorMethods({ request }: ClientRequests): FactorMethods {
  const codes = { status: 200, schema: RecoveryCodes };
  return {
    factors: (token, options) =>
      request('GET /auth/factors', { status: 200, schema: Factors }, { ...bearer(token), retry: 'any', options }),
    // Not `any`: a request that is still on its way would replace the secret that the next one has returned.
    startTotp: (token, options) => {
      const expected = { status: 200, schema: TotpEnrolment };
      return request('POST /auth/totp', expected, { ...bearer(token), retry: 'refused', options });
    },
    confirmTotp: (token, json, options) =>
      request('POST /auth/totp/confirm', codes, { ...bearer(token), json, retry: 'unsent', options }),
    removeTotp: (token, options) =>
      request('DELETE /auth/totp', NO_CONTENT, { ...bearer(token), retry: 'unsent', options }),
    makeRecoveryCodes: (token, options) =>
      request('POST /auth/recovery-codes', codes, { ...bearer(token), retry: 'refused', options }),
  };
}
