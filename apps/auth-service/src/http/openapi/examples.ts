import { describeError, type RequestError, type Thrown } from '@latchkey/service-kit/http';
import { REVOCATIONS_SCOPE } from '@latchkey/user-schema';
import {
  InsufficientScopeError,
  InvalidClientError,
  InvalidTokenError,
  invalidMember,
  MissingTokenError,
  NotFoundError,
  PasskeyRejectedError,
  PasswordRejectedError,
  SecondFactorRequiredError,
  TooManyPasskeysError,
} from '../errors.js';

type Described = ReturnType<typeof describeError>;

const ofFastify = (code: string): Error => Object.assign(new Error(), { code });

/** The error of a body that is to be JSON. */
export const JSON_ERROR: Thrown = ofFastify('FST_ERR_CTP_INVALID_JSON_BODY');

/** The errors of requests with a body, which the server finds before the route. */
export const BODY_ERRORS: readonly Thrown[] = ['FST_ERR_CTP_BODY_TOO_LARGE', 'FST_ERR_CTP_INVALID_MEDIA_TYPE'].map(
  ofFastify,
);

/** The error of requests that do not conform to a schema. */
export const SCHEMA_ERROR: Thrown = invalidMember(
  '/username',
  'pattern',
  '3 to 64 characters: letters, digits and . _ @ + -',
);

/** The errors of requests that need a token or a client, by the security scheme. */
export const SCHEME_ERRORS: Record<string, readonly Thrown[]> = {
  bearer: [MissingTokenError, InvalidTokenError],
  client: [InvalidClientError],
  service: [MissingTokenError, InvalidTokenError, InsufficientScopeError],
};

/** The errors of every route. */
export const SERVICE_ERRORS: readonly Thrown[] = [new Error(), Object.assign(new Error(), { statusCode: 503 })];

const tooShort = 'The password needs at least 8 characters.';
/** Where a class alone says too little. */
const TELLING: ReadonlyMap<Thrown, Error> = new Map<Thrown, Error>([
  [InsufficientScopeError, new InsufficientScopeError(REVOCATIONS_SCOPE)],
  [NotFoundError, new NotFoundError('such session')],
  [PasskeyRejectedError, new PasskeyRejectedError('The response of the authenticator is not accepted.')],
  [
    PasswordRejectedError,
    Object.assign(new PasswordRejectedError(tooShort), {
      errors: [{ pointer: '/newPassword', reason: 'too_short', detail: tooShort }],
    }),
  ],
  [
    SecondFactorRequiredError,
    Object.assign(new SecondFactorRequiredError(), {
      members: { challenge: 'eyJhbGciOi…', methods: ['totp', 'recovery_code'], expiresIn: 300 },
    }),
  ],
  [TooManyPasskeysError, new TooManyPasskeysError(20)],
]);

/** Describes the response to an error that a route throws, as the route would. */
export function describeThrown(thrown: Thrown): Described {
  const error = TELLING.get(thrown) ?? (typeof thrown === 'function' ? new thrown() : thrown);
  return describeError(error as RequestError);
}
