import { dictionary } from '@zxcvbn-ts/language-common';
import { PasswordRejectedError } from './errors.js';

const MAX_LENGTH = 256;
const common = new Set(dictionary['passwords-common']);

/**
 * Judges a new password by NIST SP 800-63B-4 §3.1.1.2: length and what everybody would guess, no composition rules.
 *
 * @param minLength in Unicode code points
 * @param pointer where the password stands in the body
 * @throws PasswordRejectedError with the reason
 */
export function checkNewPassword(password: string, username: string, minLength: number, pointer = '/password'): void {
  const verdict = judge(password, username, minLength);
  if (!verdict) return;
  const [reason, detail] = verdict;
  throw Object.assign(new PasswordRejectedError(detail), { errors: [{ pointer, detail, reason }] });
}

function judge(password: string, username: string, minLength: number): [reason: string, detail: string] | undefined {
  const length = [...password].length;
  const folded = password.toLowerCase();
  if (length < minLength) return ['too_short', `The password needs at least ${minLength} characters.`];
  if (length > MAX_LENGTH) return ['too_long', `The password has more than ${MAX_LENGTH} characters.`];
  if (common.has(folded)) return ['common', 'The password is one of the most common ones.'];
  if (folded.includes(username.toLowerCase())) return ['contains_username', 'The password contains the username.'];
  return undefined;
}
