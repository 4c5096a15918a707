import { randomInt } from 'node:crypto';
import type { AccountFactors } from './factors.js';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const CHARACTERS = 24;
const CODES = 10;

/** Makes ten codes, in groups of four characters; those that the account has had are void. */
export function replaceCodes(factors: AccountFactors): string[] {
  const codes = Array.from({ length: CODES }, () =>
    Array.from({ length: CHARACTERS }, () => ALPHABET[randomInt(ALPHABET.length)]).join(''),
  );
  factors.recoveryCodes = new Set(codes);
  return codes.map(code => code.replace(/.{4}(?=.)/g, '$&-'));
}

/** A code as it is kept, from one as typed. */
export function readCode(typed: string): string {
  return typed.toUpperCase().replace(/[\s-]/g, '').replace(/O/g, '0').replace(/[IL]/g, '1');
}
