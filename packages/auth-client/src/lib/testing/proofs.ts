import type { PasskeyAssertion, SecondFactorProof } from '@latchkey/user-schema';
import type { Account } from './accounts.js';
import type { TestPasskey } from './factors.js';
import { readCode } from './recovery-codes.js';
import type { IssuerState } from './requests.js';
import { challengeOf, readAssertion } from './webauthn.js';

/** A proof that was checked and not used yet: what it proves (RFC 8176), and how it is used up. */
export type CheckedProof = {
  amr: readonly string[];
  /** `false` when it was used before. */
  use(state: IssuerState, account: Account): boolean;
};

/** Whether the challenge of a passkey, of any kind, was made for what it is used for. */
export type FindChallenge = (challenge: string) => { id: string } | undefined;

/** Checks the proof of a second factor; `undefined` when it is wrong. */
export function checkFactor(
  state: IssuerState,
  account: Account,
  proof: SecondFactorProof,
  findChallenge: FindChallenge,
): CheckedProof | undefined {
  if ('totp' in proof) return checkTotp(state, account, proof.totp);
  if ('recoveryCode' in proof) return checkRecoveryCode(account, proof.recoveryCode);
  return checkPasskey(state, account, proof.passkey, findChallenge);
}

function checkTotp({ totpClock }: IssuerState, { factors: { totp } }: Account, code: string): CheckedProof | undefined {
  const step = totp && totpClock.stepOf(totp.secret, code);
  if (!totp || step === undefined) return undefined;
  return {
    amr: ['otp'],
    use() {
      if (step <= totp.lastStep) return false;
      totp.lastStep = step;
      return true;
    },
  };
}

function checkRecoveryCode({ factors: { recoveryCodes } }: Account, typed: string): CheckedProof | undefined {
  const code = readCode(typed);
  if (!recoveryCodes.has(code)) return undefined;
  return {
    amr: ['otp'],
    use({ mailbox }, { user }) {
      recoveryCodes.delete(code);
      mailbox.sendNotice('recovery-code-used', user.email);
      return true;
    },
  };
}

/** Checks an assertion by one of the account's passkeys. */
export function checkPasskey(
  { challenges, rpId }: IssuerState,
  { factors }: Account,
  assertion: PasskeyAssertion,
  findChallenge: FindChallenge,
): CheckedProof | undefined {
  const challenge = findChallenge(challengeOf(assertion));
  const passkey = factors.passkeys.find(({ credentialId }) => credentialId === assertion.id);
  const handle = assertion.response.userHandle ?? factors.passkeyHandle;
  if (!challenge || challenges.isUsed(challenge) || !passkey || handle !== factors.passkeyHandle) return undefined;
  try {
    const { counter, backedUp } = readAssertion(assertion, passkey, rpId);
    return {
      amr: passkeyAmr(passkey),
      use({ challenges }) {
        Object.assign(passkey, { counter, backedUp, lastUsedAt: new Date().toISOString() });
        return challenges.use(challenge);
      },
    };
  } catch {
    // Whatever the caller has sent, it proves nothing.
    return undefined;
  }
}

/** What a passkey proves, which verifies its user: in hardware, or in software when its provider may copy it. */
export function passkeyAmr({ backupEligible }: Pick<TestPasskey, 'backupEligible'>): string[] {
  return [backupEligible ? 'swk' : 'hwk', 'user', 'mfa'];
}
