import { EMAIL_PATTERN, MAX_EMAIL_LENGTH } from '@latchkey/user-schema';

/** A mail address, with the name that is shown for it. */
export type NamedAddress = { name: string; address: string };

const ADDRESS = new RegExp(EMAIL_PATTERN);
// Printable, without what would need to be quoted in a header.
const NAME = /^[^\p{C}"<>@,;:\\()[\]]{1,100}$/u;

/** Whether a text is one mail address that can be put into a header as it is. */
export function isMailAddress(text: string): boolean {
  return text.length <= MAX_EMAIL_LENGTH && ADDRESS.test(text);
}

/** Reads `address` or `Name <address>`; `undefined` when it is neither. */
export function parseNamedAddress(text: string): NamedAddress | undefined {
  const [, name = '', address = ''] = /^(?:([^<>]*) )?<([^<>]*)>$/.exec(text) ?? ['', '', text];
  if (!isMailAddress(address) || (name !== '' && !NAME.test(name))) return undefined;
  return { name, address };
}
