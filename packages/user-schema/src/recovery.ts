import { type Static, Type } from '@sinclair/typebox';
import { EmailAddress } from './email.js';
import { NewPassword } from './user.js';

/**
 * The token of a link in a mail. Any string conforms: the service responds with `invalid_one_time_token` to each that it does
 * not accept, malformed ones too.
 */
export const OneTimeToken = Type.String({ description: 'What follows `#token=` in the link; good for one use' });
export type OneTimeToken = Static<typeof OneTimeToken>;

/** The body of the verification of an e-mail address. */
export const VerifyEmailRequest = Type.Object({ token: OneTimeToken }, { additionalProperties: false });
export type VerifyEmailRequest = Static<typeof VerifyEmailRequest>;

/** The body of a request for a link that resets a forgotten password. */
export const ForgotPasswordRequest = Type.Object(
  { email: EmailAddress },
  { additionalProperties: false, description: 'The address that the account has verified' },
);
export type ForgotPasswordRequest = Static<typeof ForgotPasswordRequest>;

/** The body of a password reset. */
export const ResetPasswordRequest = Type.Object(
  { token: OneTimeToken, newPassword: NewPassword },
  { additionalProperties: false },
);
export type ResetPasswordRequest = Static<typeof ResetPasswordRequest>;
