import { type AuthenticationDemand, demandChallenge } from '@latchkey/user-schema';
import { InsufficientAuthenticationError } from '../http/errors.js';

/** The error of a request that demands more of the sign-in behind its token (RFC 9470). */
export function insufficientAuthentication(demand: AuthenticationDemand): Error {
  const headers = { 'www-authenticate': demandChallenge(demand) };
  return Object.assign(new InsufficientAuthenticationError(), { headers });
}
