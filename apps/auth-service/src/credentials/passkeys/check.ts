import type { PasskeyAssertion } from '@latchkey/user-schema';
import type { ChallengeKinds } from '../../sessions/challenges.js';
import type { CheckedProof } from '../proof.js';

/** What the challenge of an assertion must have been made for. */
export type PasskeyPurpose = {
  [Kind in 'passkey-sign-in' | 'passkey-second-factor' | 'passkey-step-up']: { kind: Kind } & ChallengeKinds[Kind];
}['passkey-sign-in' | 'passkey-second-factor' | 'passkey-step-up'];

declare module 'fastify' {
  interface FastifyInstance {
    passkeys: {
      /** Checks an assertion (WebAuthn Level 3 §7.2); `undefined` when it is not accepted. */
      check(assertion: PasskeyAssertion, purpose: PasskeyPurpose): Promise<CheckedProof | undefined>;
    };
  }
}
