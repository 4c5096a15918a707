import type { PasskeyRegistration } from '@latchkey/user-schema';
import type { FastifyInstance } from 'fastify';
import { PasskeyRejectedError } from '../../http/errors.js';
import type { Challenge, ChallengeKinds } from '../../sessions/challenges.js';
import { isAbout, readClientData } from './client-data.js';
import type { RelyingParty } from './relying-party.js';
import { type NewPasskey, verifyRegistration } from './verification.js';

const EXPIRED = 'The options have expired, are of another session, or the page is of another origin: request new ones.';
const INVALID = 'The response of the authenticator is not accepted.';

type Kind = 'passkey-registration' | 'passkey-sign-up';

/** A registration that was checked, and may be used once. */
export type CheckedRegistration<Of extends Kind = Kind> = {
  challenge: Challenge<Of>;
  rpId: string;
  passkey: NewPasskey;
};

/**
 * Checks the registration of a passkey (WebAuthn Level 3 §7.1).
 *
 * @param purpose what its challenge must have been made for
 * @throws PasskeyRejectedError when it is not accepted
 */
export async function checkRegistration<Of extends Kind>(
  { challenges }: Pick<FastifyInstance, 'challenges'>,
  relyingParty: RelyingParty,
  registration: PasskeyRegistration,
  { kind, ...about }: { kind: Of } & Partial<ChallengeKinds[Of]>,
): Promise<CheckedRegistration<Of>> {
  const clientData = readClientData(registration.response.clientDataJSON, relyingParty);
  const challenge = clientData && challenges.open(kind, clientData.challenge);
  if (!challenge || !isAbout(challenge, about)) throw new PasskeyRejectedError(EXPIRED);
  const passkey = await verifyRegistration(registration, clientData, relyingParty);
  if (!passkey) throw new PasskeyRejectedError(INVALID);
  return { challenge, rpId: relyingParty.rpId, passkey };
}
