const HAS_TOTP = 'EXISTS (SELECT FROM auth.totp f WHERE f.account_id = u.id AND f.confirmed_at IS NOT NULL)';
const HAS_PASSKEY = 'EXISTS (SELECT FROM auth.passkeys f WHERE f.account_id = u.id)';
const HAS_CODE = 'EXISTS (SELECT FROM auth.recovery_codes f WHERE f.account_id = u.id)';

/**
 * SQL: whether the account `u` has a second factor. Then a password alone does not sign in. Recovery codes are no factor of their
 * own: they stand for one.
 */
export const HAS_FACTOR = `(${HAS_TOTP} OR ${HAS_PASSKEY})`;

/** SQL: the second factors of the account `u` as an array of text, with `recovery_code` when it has codes; empty without a factor. */
export const FACTORS = `CASE WHEN ${HAS_FACTOR} THEN array_remove(ARRAY[
    CASE WHEN ${HAS_TOTP} THEN 'totp' END, CASE WHEN ${HAS_PASSKEY} THEN 'passkey' END,
    CASE WHEN ${HAS_CODE} THEN 'recovery_code' END], NULL) ELSE '{}' END`;

/** What an account has proved when it uses each factor (RFC 8176). */
export const AMR: Record<'password' | 'totp' | 'recoveryCode', readonly string[]> = {
  password: ['pwd'],
  totp: ['otp'],
  recoveryCode: ['otp'],
};

/** The `amr` of a passkey, which verifies its user: in hardware, or in software when its provider may copy it. */
export const passkeyAmr = (backupEligible: boolean): string[] => [backupEligible ? 'swk' : 'hwk', 'user', 'mfa'];

/** What two proofs prove together: `mfa`, when they are of different factors. */
export function combineAmr(before: readonly string[], proved: readonly string[]): string[] {
  const methods = new Set([...before, ...proved]);
  const isMultiFactor = methods.delete('mfa') || before.some(method => !proved.includes(method));
  return isMultiFactor ? [...methods, 'mfa'] : [...methods];
}
