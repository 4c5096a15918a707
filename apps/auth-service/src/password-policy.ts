import { dictionary } from '@zxcvbn-ts/language-common';
import { PasswordRejectedError } from './errors.js';

const MAX_LENGTH = 256;
const common = new Set(dictionary['passwords-common']);

/**
 * Judges a new password by NIST SP 800-63B-4 §3.1.1.2: length and what everybody would guess, no composition rules.
 *
 * @param minLength in Unicode code points
 * @throws PasswordRejectedError with the reason
 */
export function checkNewPassword(password: string, username: string, minLength: number): void {
  const length = [...password].length;
  const folded = password.toLowerCase();
  if (length < minLength) reject('too_short', `The password needs at least ${minLength} characters.`);
  if (length > MAX_LENGTH) reject('too_long', `The password has more than ${MAX_LENGTH} characters.`);
  if (common.has(folded)) reject('common', 'The password is one of the most common ones.');
  if (folded.includes(username.toLowerCase())) reject('contains_username', 'The password contains the username.');
}

function reject(reason: string, detail: string): never {
  const errors = [{ pointer: '/password', detail, reason }];
  throw Object.assign(new PasswordRejectedError(detail), { errors });
}
