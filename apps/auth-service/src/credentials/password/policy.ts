/** Why a new password is refused. */
export type Rejection = {
  reason: 'too_short' | 'too_long' | 'common' | 'contains_username' | 'breached';
  detail: string;
};

const MAX_LENGTH = 256;
let common: Promise<Set<string>> | undefined;

/** The list takes 12 MB; a replica that only checks tokens never needs it. */
function commonPasswords(): Promise<Set<string>> {
  common ??= import('@zxcvbn-ts/language-common').then(({ dictionary }) => new Set(dictionary['passwords-common']));
  return common;
}

/**
 * Judges a new password by NIST SP 800-63B-4 §3.1.1.2: length and what everybody would guess, no composition rules.
 *
 * @param minLength in Unicode code points
 */
export async function judgePassword(
  password: string,
  username: string,
  minLength: number,
): Promise<Rejection | undefined> {
  const length = [...password].length;
  const folded = password.toLowerCase();
  if (length < minLength) {
    return { reason: 'too_short', detail: `The password needs at least ${minLength} characters.` };
  }
  if (length > MAX_LENGTH)
    return { reason: 'too_long', detail: `The password has more than ${MAX_LENGTH} characters.` };
  if ((await commonPasswords()).has(folded))
    return { reason: 'common', detail: 'The password is one of the most common ones.' };
  if (folded.includes(username.toLowerCase())) {
    return { reason: 'contains_username', detail: 'The password contains the username.' };
  }
  return undefined;
}
