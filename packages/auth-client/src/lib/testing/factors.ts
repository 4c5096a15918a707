import type { KeyObject } from 'node:crypto';
import type { Acr, Passkey, SecondFactor } from '@latchkey/user-schema';

/** A passkey of an account. */
export type TestPasskey = Passkey & {
  credentialId: string;
  publicKey: KeyObject;
  digest: string | null;
  counter: number;
  backupEligible: boolean;
};

/** What proves an account beside its password. */
export type AccountFactors = {
  totp: { secret: Buffer; createdAt: string; lastStep: number } | undefined;
  /** A secret for an authenticator app that has not been confirmed. */
  pendingTotp: Buffer | undefined;
  /** Without hyphens. */
  recoveryCodes: Set<string>;
  passkeys: TestPasskey[];
  /** The user handle of its passkeys, base64url. */
  passkeyHandle: string | undefined;
};

export function noFactors(): AccountFactors {
  return { totp: undefined, pendingTotp: undefined, recoveryCodes: new Set(), passkeys: [], passkeyHandle: undefined };
}

/** The second factors of an account; none when it has only recovery codes, which stand for one. */
export function methodsOf({ totp, passkeys, recoveryCodes }: AccountFactors): SecondFactor[] {
  const factors: SecondFactor[] = [
    ...(totp ? ['totp' as const] : []),
    ...(passkeys.length > 0 ? ['passkey' as const] : []),
  ];
  return factors.length > 0 && recoveryCodes.size > 0 ? [...factors, 'recovery_code'] : factors;
}

/** Without a factor, recovery codes stand for nothing. */
export function dropUselessCodes(factors: AccountFactors): void {
  if (methodsOf(factors).length === 0) factors.recoveryCodes.clear();
}

/** The highest `acr` that an account can reach. */
export function highestAcr(factors: AccountFactors): Acr {
  return methodsOf(factors).length > 0 ? 'aal2' : 'aal1';
}

export function acrOf(amr: readonly string[]): Acr {
  return amr.includes('mfa') ? 'aal2' : 'aal1';
}

/** What two proofs prove together (RFC 8176): `mfa`, when they are of different factors. */
export function combineAmr(before: readonly string[], proved: readonly string[]): string[] {
  const methods = new Set([...before, ...proved]);
  const isMultiFactor = methods.delete('mfa') || before.some(method => !proved.includes(method));
  return isMultiFactor ? [...methods, 'mfa'] : [...methods];
}
