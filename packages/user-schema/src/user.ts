import { type Static, Type } from '@sinclair/typebox';
import { EMAIL_FORM, EmailAddress, MAX_EMAIL_LENGTH } from './email.js';

const USERNAME_CHARACTERS = '[A-Za-z0-9._@+-]';

/** Name of an account: 3 to 64 characters of `A-Z a-z 0-9 . _ @ + -`, kept as typed, unique without regard to case. */
export const Username = Type.String({
  minLength: 3,
  maxLength: 64,
  pattern: `^${USERNAME_CHARACTERS}*$`,
  'x-message': '3 to 64 characters: letters, digits and . _ @ + -',
  description: 'Kept as typed; unique and matched without regard to case. May be an e-mail address.',
  examples: ['helloworld', 'ada@example.com'],
});
export type Username = Static<typeof Username>;

const PASSWORD = {
  pattern: '^\\P{Surrogate}*$',
  'x-message': 'A password of characters that are valid Unicode.',
  examples: ['correct horse battery staple'],
};

/**
 * A password as received: any well-formed Unicode, without composition rules.
 *
 * The pattern excludes lone surrogates, which have no UTF-8 form and would all have the same hash.
 */
export const Password = Type.String({ ...PASSWORD, description: 'Any well-formed Unicode, used exactly as received' });
export type Password = Static<typeof Password>;

/** The largest length of a new password, in code points. */
export const MAX_PASSWORD_LENGTH = 256;

/**
 * A new password as received. Its length is checked by the service, which responds with `password_rejected` and the reason: the
 * smallest is a setting.
 */
export const NewPassword = Type.String({
  ...PASSWORD,
  description:
    'Any well-formed Unicode, used exactly as received. Common passwords, and those with the username, are rejected.',
});
export type NewPassword = Static<typeof NewPassword>;

/** A username with its password. */
export const Credentials = Type.Object({ username: Username, password: Password }, { additionalProperties: false });
export type Credentials = Static<typeof Credentials>;

/** The body of a sign-up. */
export const SignUpRequest = Type.Object(
  { username: Username, password: NewPassword, email: Type.Optional(EmailAddress) },
  { additionalProperties: false },
);
export type SignUpRequest = Static<typeof SignUpRequest>;

/** What identifies an account at sign-in: its username, or its verified e-mail address. */
export const SignInName = Type.String({
  minLength: 3,
  maxLength: MAX_EMAIL_LENGTH,
  pattern: `^(?:${USERNAME_CHARACTERS}{3,64}|${EMAIL_FORM})$`,
  'x-message': 'A username or an e-mail address.',
  description: 'The username or the verified e-mail address, without regard to case. A username takes precedence.',
  examples: ['helloworld', 'ada@example.com'],
});
export type SignInName = Static<typeof SignInName>;

/** The body of a sign-in. */
export const SignInRequest = Type.Object({ username: SignInName, password: Password }, { additionalProperties: false });
export type SignInRequest = Static<typeof SignInRequest>;

/** An account, as responses show it. */
export const User = Type.Object({
  id: Type.String({ format: 'uuid', description: 'UUIDv7' }),
  username: Type.String(),
  email: Type.Union([Type.String(), Type.Null()], { description: 'The verified e-mail address' }),
  createdAt: Type.String({ format: 'date-time', description: 'RFC 3339, UTC' }),
});
export type User = Static<typeof User>;
