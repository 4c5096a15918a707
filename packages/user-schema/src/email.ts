import { type Static, Type } from '@sinclair/typebox';

/** The form of an e-mail address at sign-in: the characters that HTML’s `<input type="email">` accepts. */
export const EMAIL_FORM = "[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+";

/** The largest length of an e-mail address: SMTP allows 256 octets with the angle brackets (RFC 5321 §4.5.3.1.3). */
export const MAX_EMAIL_LENGTH = 254;

const ATEXT = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]";
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?';

/**
 * The pattern of an address that a mail can be sent to: the dot-atom of RFC 5322 §3.2.3, of 64 characters at most, and a host
 * name. No quoted local parts and no comments, which are valid, but which nobody has, and none of the characters that could end a
 * header or an address.
 */
export const EMAIL_PATTERN = `^(?=[^@]{1,64}@)${ATEXT}+(?:\\.${ATEXT}+)*@${LABEL}(?:\\.${LABEL})*$`;

/** What a form can show where an e-mail address is not valid. */
const NO_EMAIL_ADDRESS = 'An e-mail address, such as ada@example.com.';

/** An e-mail address as received: ASCII, an internationalized domain as punycode. */
export const EmailAddress = Type.String({
  minLength: 3,
  maxLength: MAX_EMAIL_LENGTH,
  pattern: EMAIL_PATTERN,
  'x-message': NO_EMAIL_ADDRESS,
  description: 'Kept as typed; unique among verified addresses, and matched without regard to case.',
  examples: ['ada@example.com'],
});
export type EmailAddress = Static<typeof EmailAddress>;

/** The body of a change of the e-mail address. */
export const SetEmailRequest = Type.Object(
  { email: EmailAddress },
  { additionalProperties: false, description: 'The address to set' },
);
export type SetEmailRequest = Static<typeof SetEmailRequest>;

/** An e-mail address that has not been verified yet. */
export const PendingEmail = Type.Object({
  email: Type.String(),
  expiresAt: Type.String({ format: 'date-time', description: 'When its link expires; RFC 3339, UTC' }),
});
export type PendingEmail = Static<typeof PendingEmail>;

/** The e-mail address of an account, and the one that its owner has set since. */
export const EmailState = Type.Object({
  email: Type.Union([Type.String(), Type.Null()], { description: 'The verified address' }),
  pending: Type.Union([PendingEmail, Type.Null()], { description: 'The address to which a link was mailed last' }),
});
export type EmailState = Static<typeof EmailState>;
