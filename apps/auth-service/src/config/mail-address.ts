/** A mail address, with the name that is shown for it. */
export type NamedAddress = { name: string; address: string };

const MAX_LENGTH = 254;
// The dot-atom of RFC 5322 §3.2.3 and a host name: no quoted local parts and no comments, which are valid, but which nobody has, and
// none of the characters that could end a header or an address.
const ATEXT = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]";
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
const ADDRESS = new RegExp(`^(?=.{1,64}@)${ATEXT}+(?:\\.${ATEXT}+)*@${LABEL}(?:\\.${LABEL})*$`);
// Printable, without what would need to be quoted in a header.
const NAME = /^[^\p{C}"<>@,;:\\()[\]]{1,100}$/u;

/** Whether a text is one mail address that can be put into a header as it is. */
export function isMailAddress(text: string): boolean {
  return text.length <= MAX_LENGTH && ADDRESS.test(text);
}

/** Reads `address` or `Name <address>`; `undefined` when it is neither. */
export function parseNamedAddress(text: string): NamedAddress | undefined {
  const [, name = '', address = ''] = /^(?:([^<>]*) )?<([^<>]*)>$/.exec(text) ?? ['', '', text];
  if (!isMailAddress(address) || (name !== '' && !NAME.test(name))) return undefined;
  return { name, address };
}
