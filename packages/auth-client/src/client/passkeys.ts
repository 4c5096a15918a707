import {
  AddedPasskey,
  type AddPasskeyRequest,
  Passkey,
  PasskeyCreationOptions,
  type RenamePasskeyRequest,
} from '@latchkey/user-schema';
import { bearer, type ClientRequests, NO_CONTENT } from '../lib/client-requests.js';
import type { RequestOptions } from '../request-options.js';

/** The methods of a client for the passkeys of an account. `factors` lists them. */
export interface PasskeyMethods {
  /**
   * Returns the options for `navigator.credentials.create()`, with which {@link PasskeyMethods.addPasskey} adds a passkey.
   * Nothing is stored.
   *
   * @param token - an access token of a user who signed in not long ago
   * @throws AuthProblemError `invalid_token`, `insufficient_user_authentication`, `too_many_passkeys`, or `not_found` (the
   *   service has no passkeys)
   * @throws AuthTransportError
   */
  passkeyOptions(token: string, options?: RequestOptions): Promise<PasskeyCreationOptions>;
  /**
   * Adds a passkey: from now on, a password alone does not sign in. The next refresh of the session has `acr` `aal2`. The
   * request is sent again only when no connection was made.
   *
   * @param token - an access token of a user who signed in not long ago
   * @param passkey - `response` is what `navigator.credentials.create()` returned for the options, as JSON; `name` is a name for
   *   its owner
   * @returns the passkey, with ten `recoveryCodes`, to be shown once, when the account had no second factor before
   * @throws AuthProblemError `invalid_token`, `insufficient_user_authentication`, `invalid_passkey`, or `too_many_passkeys`
   * @throws AuthTransportError
   */
  addPasskey(token: string, passkey: AddPasskeyRequest, options?: RequestOptions): Promise<AddedPasskey>;
  /**
   * Renames a passkey.
   *
   * @param token - a user's access token
   * @param id - `id` of one of the passkeys of `factors`
   * @throws AuthProblemError `invalid_token`, or `not_found` when the account has no such passkey
   * @throws AuthTransportError
   */
  renamePasskey(token: string, id: string, change: RenamePasskeyRequest, options?: RequestOptions): Promise<Passkey>;
  /**
   * Removes a passkey; without another factor, the recovery codes are void too. The request is sent again only when no
   * connection was made.
   *
   * @param token - an access token of a user who signed in not long ago
   * @param id - `id` of one of the passkeys of `factors`
   * @throws AuthProblemError `invalid_token`, `insufficient_user_authentication`, `not_found`, or `last_credential` when nobody
   *   could sign in without it
   * @throws AuthTransportError
   */
  removePasskey(token: string, id: string, options?: RequestOptions): Promise<void>;
}

export function passkeyMethods({ request }: ClientRequests): PasskeyMethods {
  return {
    passkeyOptions: (token, options) => {
      const expected = { status: 200, schema: PasskeyCreationOptions };
      return request('POST /auth/passkeys/options', expected, { ...bearer(token), retry: 'any', options });
    },
    addPasskey: (token, json, options) => {
      const expected = { status: 201, schema: AddedPasskey };
      return request('POST /auth/passkeys', expected, { ...bearer(token), json, retry: 'unsent', options });
    },
    renamePasskey: (token, id, json, options) => {
      const expected = { status: 200, schema: Passkey };
      return request(`PATCH ${pathOf(id)}`, expected, { ...bearer(token), json, retry: 'any', options });
    },
    removePasskey: (token, id, options) =>
      request(`DELETE ${pathOf(id)}`, NO_CONTENT, { ...bearer(token), retry: 'unsent', options }),
  };
}

function pathOf(id: string): `/${string}` {
  return `/auth/passkeys/${encodeURIComponent(id)}`;
}
