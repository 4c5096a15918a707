import { type Static, Type } from '@sinclair/typebox';

/** Name of an account: 3 to 64 characters of `A-Z a-z 0-9 . _ @ + -`, kept as typed, unique without regard to case. */
export const Username = Type.String({
  minLength: 3,
  maxLength: 64,
  pattern: '^[A-Za-z0-9._@+-]*$',
  description: 'Kept as typed; unique and matched without regard to case. May be an e-mail address.',
  examples: ['helloworld', 'ada@example.com'],
});
export type Username = Static<typeof Username>;

/**
 * A password as received: any well-formed Unicode, without composition rules.
 *
 * The pattern excludes lone surrogates, which have no UTF-8 form and would all have the same hash. The length of a new
 * password is checked by the service, which responds with `password_rejected` and the reason.
 */
export const Password = Type.String({
  pattern: '^\\P{Surrogate}*$',
  description: 'Any well-formed Unicode, used exactly as received. A new one has 8 (a setting) to 256 characters.',
  examples: ['correct horse battery staple'],
});
export type Password = Static<typeof Password>;

/** The body of sign-up and sign-in. */
export const Credentials = Type.Object({ username: Username, password: Password }, { additionalProperties: false });
export type Credentials = Static<typeof Credentials>;

/** An account, as responses show it. */
export const User = Type.Object({
  id: Type.String({ format: 'uuid', description: 'UUIDv7' }),
  username: Type.String(),
  createdAt: Type.String({ format: 'date-time', description: 'RFC 3339, UTC' }),
});
export type User = Static<typeof User>;
