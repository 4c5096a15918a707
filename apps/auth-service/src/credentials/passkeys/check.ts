import type { PasskeyAssertion, User } from '@latchkey/user-schema';
import type { FastifyInstance } from 'fastify';
import type { ChallengeKinds } from '../../sessions/challenges.js';
import { passkeyAmr } from '../../sessions/factors.js';
import { type ProofUse, startUsing } from '../../sessions/start.js';
import type { CheckedProof } from '../proof.js';
import { isAbout, readClientData } from './client-data.js';
import type { RelyingParty } from './relying-party.js';
import { findPasskey, usedPasskey, usePasskey } from './stored-passkeys.js';
import { verifyAssertion } from './verification.js';

/** What the challenge of an assertion must have been made for. */
export type PasskeyPurpose = {
  [Kind in 'passkey-sign-in' | 'passkey-second-factor' | 'passkey-step-up']: { kind: Kind } & ChallengeKinds[Kind];
}['passkey-sign-in' | 'passkey-second-factor' | 'passkey-step-up'];

/** A passkey that was checked, and may be used once. */
export type CheckedPasskey = CheckedProof & {
  account: User;
  /** The version of the account's credentials of which the passkey is. */
  credentialVersion: number;
  /** Uses it up in the statement that starts a session. */
  useInSignIn: ProofUse;
};

/** Checks an assertion (WebAuthn Level 3 §7.2); `undefined` when it is not accepted. */
export type CheckPasskey = (
  assertion: PasskeyAssertion,
  purpose: PasskeyPurpose,
) => Promise<CheckedPasskey | undefined>;

const SIGN_IN = startUsing(usedPasskey('account'));

declare module 'fastify' {
  interface FastifyInstance {
    passkeys: { check: CheckPasskey };
  }
}

/** Makes the function that checks the passkeys of a relying party. */
export function createCheck({ challenges, pg }: FastifyInstance, relyingParty: RelyingParty): CheckPasskey {
  const { rpId } = relyingParty;
  return async (assertion, { kind, ...about }) => {
    const { clientDataJSON, userHandle } = assertion.response;
    const clientData = readClientData(clientDataJSON, relyingParty);
    const challenge = clientData && challenges.open(kind, clientData.challenge);
    if (!challenge || !isAbout(challenge, about)) return undefined;

    const credentialId = Buffer.from(assertion.id, 'base64url');
    const owner = 'accountId' in about ? { accountId: about.accountId } : { handle: userHandle ?? '' };
    const found = await findPasskey(pg, { credentialId, rpId, ...owner });
    // Authenticators may leave it out when the options name the passkeys.
    if (!found || (userHandle && userHandle !== found.handle.toString('base64url'))) return undefined;
    const use = await verifyAssertion(assertion, clientData, relyingParty, found);
    if (!use) return undefined;

    const { id: accountId, username, email, createdAt, credentialVersion, passkeyId, backupEligible } = found;
    const used = { ...use, accountId, passkeyId, challengeHash: challenge.hash };
    return {
      ...{ accountId, credentialVersion, account: { id: accountId, username, email, createdAt } },
      amr: passkeyAmr(backupEligible),
      use: async db => ((await usePasskey(db, used)) ? [] : undefined),
      useInSignIn: { start: SIGN_IN, values: used },
    };
  };
}
