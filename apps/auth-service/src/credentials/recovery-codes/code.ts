import { createHash, randomInt } from 'node:crypto';

// Crockford's base 32: without letters that look like digits, and without U.
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const CHARACTERS = 24;
const GROUP = /.{4}(?=.)/g;

/** A new code of 120 random bits, in groups of four. */
export function newCode(): string {
  const characters = Array.from({ length: CHARACTERS }, () => ALPHABET[randomInt(ALPHABET.length)]);
  return characters.join('').replace(GROUP, '$&-');
}

/** The hash that the row of a code has; `undefined` when the text has another form. SHA-256 suffices: a code cannot be guessed. */
export function hashCode(typed: string): Buffer | undefined {
  const code = typed.toUpperCase().replace(/[\s-]/g, '').replace(/O/g, '0').replace(/[IL]/g, '1');
  const isCode = code.length === CHARACTERS && [...code].every(character => ALPHABET.includes(character));
  return isCode ? createHash('sha256').update(code).digest() : undefined;
}
