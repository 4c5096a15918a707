import { createError } from '@fastify/error';
import { BusyError } from '@latchkey/service-kit';
import type { ProblemCode, ProblemReason } from '@latchkey/user-schema';

/**
 * `instanceof` compares the codes of these errors, so an error that code looks for needs a code of its own. Those of 5xx
 * errors are only logged: their responses have `service_unavailable` or `internal_error`.
 */
type Code = ProblemCode | 'database_stale' | 'hash_lane_full';

const define = (code: Code, message: string, status: number, Base: new (message?: string) => Error = Error) =>
  createError(code, message, status, Base as ErrorConstructor);

export const CallerGoneError = define('invalid_request', 'The caller has gone.', 499);
export const DatabaseNotReadyError = define('service_unavailable', 'The database cannot be used.', 503);
export const EmailTakenError = define('email_taken', 'Another account has that address.', 409);
export const HashFailedError = define('service_unavailable', 'The password could not be hashed.', 503);
export const IdempotencyKeyReusedError = define(
  'idempotency_key_reused',
  'A sign-up with other credentials has had that Idempotency-Key.',
  422,
);
export const InsufficientAuthenticationError = define(
  'insufficient_user_authentication',
  'Prove again who you are: WWW-Authenticate says what this needs.',
  401,
);
export const InsufficientScopeError = define('insufficient_scope', 'The token lacks the scope %s.', 403);
export const InvalidChallengeError = define(
  'invalid_challenge',
  'The challenge has expired or was used; sign in again.',
  401,
);
export const InvalidClientError = define('invalid_client', 'Client authentication failed.', 401);
export const InvalidCredentialsError = define('invalid_credentials', 'Invalid credentials.', 401);
export const InvalidOneTimeTokenError = define(
  'invalid_one_time_token',
  'The link is not valid any more, or was used; ask for another.',
  400,
);
/** A passkey that does not sign in. */
export const InvalidPasskeyError = define('invalid_passkey', 'The passkey is not accepted.', 401);
export const InvalidRequestError = define('invalid_request', '%s', 400);
export const InvalidScopeError = define('invalid_scope', 'The client may not have that scope.', 400);
export const InvalidRefreshTokenError = define(
  'invalid_refresh_token',
  'The refresh token is not valid any more; sign in again.',
  401,
);
export const InvalidSecondFactorError = define(
  'invalid_second_factor',
  'The second factor is not accepted, or was used already.',
  401,
);
export const InvalidTokenError = define('invalid_token', 'The access token is not valid or has expired.', 401);
export const LastCredentialError = define(
  'last_credential',
  'Without this passkey nobody could sign in: set a password or add another passkey first.',
  409,
);
export const KeyNotReadyError = define('service_unavailable', 'The active signing key cannot be opened.', 503);
export const MissingTokenError = define('missing_token', 'Send an access token: Authorization: Bearer …', 401);
export const NotFoundError = define('not_found', 'You have no %s.', 404);
export const OverloadedError = define('hash_lane_full', 'Too many passwords wait to be checked.', 503, BusyError);
/** Where an account needs the link of a mail. */
export const PasskeySignUpClosedError = define(
  'sign_up_closed',
  'Sign up with a password and an e-mail address; add the passkey then.',
  403,
);
/** A passkey that cannot be added. */
export const PasskeyRejectedError = define('invalid_passkey', '%s', 400);
export const PasswordRejectedError = define('password_rejected', '%s', 400);
export const SecondFactorRequiredError = define(
  'second_factor_required',
  'A second factor is needed: send it with the challenge to /auth/sign-in/second-factor.',
  401,
);
export const SignUpClosedError = define('sign_up_closed', 'Accounts are made by those who run the service.', 403);
export const StaleError = define('database_stale', 'The database does not respond.', 503);
export const ThrottleStoreError = define('service_unavailable', 'The throttles cannot be asked.', 503);
export const TooManyPasskeysError = define('too_many_passkeys', 'An account has at most %s passkeys.', 409);
export const TooManyRequestsError = define(
  'too_many_requests',
  'Too many attempts; try again when Retry-After says.',
  429,
);
export const UnsupportedGrantTypeError = define('unsupported_grant_type', 'Use client_credentials.', 400);
export const UnsupportedTokenTypeError = define(
  'unsupported_token_type',
  'The access token of a service cannot be revoked; disable the client.',
  400,
);
export const UsernameTakenError = define('username_taken', 'That username is taken.', 409);

/**
 * The error of a member that the schema lets pass and the route does not.
 *
 * @param detail a sentence that a form can show
 */
export function invalidMember(pointer: string, reason: ProblemReason, detail: string, part = 'body'): Error {
  const error = new InvalidRequestError(`${part}${pointer.replaceAll('/', '.')}: ${detail}`);
  return Object.assign(error, { errors: [{ pointer, reason, detail }] });
}
