import {
  PasskeyCreationOptions,
  type PasskeySignUpOptionsRequest,
  type PasskeySignUpRequest,
  type SignedIn,
  type SignUpRequest,
} from '@latchkey/user-schema';
import { Type } from '@sinclair/typebox';
import { SignUpPendingError } from '../errors.js';
import type { ClientRequests } from '../lib/client-requests.js';
import { idempotencyHeaders } from '../lib/idempotency-key.js';
import { ReceivedSignedIn, withUser } from '../lib/received-user.js';
import type { RequestOptions } from '../request-options.js';

/** Options of {@link SignUpMethods.signUp} and {@link SignUpMethods.requestSignUp}. */
export interface SignUpOptions extends RequestOptions {
  /**
   * Identifies this sign-up, so that repeating it returns the same account: 1 to 255 visible ASCII characters that no other
   * sign-up uses. A random key for each `signUp` by default. An application that keeps one with its form can send the form
   * again for 24 hours, also after a reload (draft-ietf-httpapi-idempotency-key-header-07).
   */
  idempotencyKey?: string;
}

/** The methods of a client that create accounts. */
export interface SignUpMethods {
  /**
   * Creates an account and signs it in. The request is sent again when its response is lost: the service recognizes the
   * `Idempotency-Key` and responds with the same account and session.
   *
   * For a service with `SIGN_UP=open`. Where the setting may be `email`, call {@link SignUpMethods.requestSignUp}.
   *
   * @param account - username and password of the new account, and `email`, to which the service mails a link that verifies it
   * @returns tokens and user
   * @throws AuthProblemError `username_taken`, `password_rejected` (`problem.errors` has the reason), `invalid_request`,
   *   `idempotency_key_reused` when a sign-up with that key had another password, or `sign_up_closed` (`SIGN_UP=closed`)
   * @throws SecondFactorRequiredError when the sign-up is sent again, and its account has got a second factor since
   * @throws SignUpPendingError when the service mailed a link that must be opened first (`SIGN_UP=email`)
   * @throws AuthTransportError
   * @throws TypeError when `idempotencyKey` is not 1 to 255 visible ASCII characters
   */
  signUp(account: SignUpRequest, options?: SignUpOptions): Promise<SignedIn>;
  /**
   * Signs up at a service with any setting of `SIGN_UP`. With `open` this is {@link SignUpMethods.signUp}. With `email` it is
   * `pending`, whether or not the username and the address are known already: what happens next is told by mail, and when the
   * token of its link has been passed to `verifyEmail`, the user can sign in.
   *
   * @returns tokens and user, or `pending`
   * @throws AuthProblemError as `signUp` does; with `SIGN_UP=email` never `username_taken`
   * @throws AuthTransportError
   * @throws TypeError when `idempotencyKey` is not 1 to 255 visible ASCII characters
   */
  requestSignUp(account: SignUpRequest, options?: SignUpOptions): Promise<SignedIn | 'pending'>;
  /**
   * Returns the options for `navigator.credentials.create()` with which {@link SignUpMethods.signUpWithPasskey} creates an
   * account without a password. Nothing is stored yet.
   *
   * @param account - username of the new account, and `email`, to which the service mails a link that verifies it
   * @throws AuthProblemError `invalid_request`, `username_taken`, `not_found` (the service has no passkeys), or
   *   `sign_up_closed` (`SIGN_UP` is not `open`)
   * @throws AuthTransportError
   */
  passkeySignUpOptions(account: PasskeySignUpOptionsRequest, options?: RequestOptions): Promise<PasskeyCreationOptions>;
  /**
   * Creates an account with a passkey in place of a password, and signs it in. The request is sent again only when no
   * connection was made.
   *
   * @param signUp - `response` is what `navigator.credentials.create()` returned for the options, as JSON; `name` is a name of
   *   the passkey for its owner
   * @throws AuthProblemError `invalid_passkey`, `username_taken` (somebody else was first), or `sign_up_closed`
   * @throws AuthTransportError
   */
  signUpWithPasskey(signUp: PasskeySignUpRequest, options?: RequestOptions): Promise<SignedIn>;
}

export function signUpMethods({ request, requestSignedIn }: ClientRequests): SignUpMethods {
  const requestSignUp: SignUpMethods['requestSignUp'] = async (json, options) => {
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
    passkeySignUpOptions: (json, options) => {
      const expected = { status: 200, schema: PasskeyCreationOptions };
      return request('POST /auth/sign-up/passkey/options', expected, { json, retry: 'any', options });
    },
    signUpWithPasskey: (json, options) =>
      requestSignedIn('POST /auth/sign-up/passkey', { json, retry: 'unsent', options }, 201),
  };
}
