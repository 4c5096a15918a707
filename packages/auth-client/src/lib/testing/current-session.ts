import { type AccessTokenClaims, type AuthenticationDemand, meetsDemand } from '@latchkey/user-schema';
import type { Account, TestSession } from './accounts.js';
import { highestAcr } from './factors.js';
import { insufficientAuthentication, invalidToken } from './problems.js';
import { type IssuerState, readBearer } from './requests.js';

/** A live session, its account, and the claims of the request's token. */
export type Current = { session: TestSession; account: Account; claims: AccessTokenClaims };

/**
 * Finds the session of a request, whatever was proved in it: for what a user without a second factor may always do.
 *
 * @throws ProblemError
 */
export function anySession({ accounts, tokens }: IssuerState, request: Request): Current {
  const claims = readBearer(tokens, request) as AccessTokenClaims;
  const session = accounts.findSession(claims.sid);
  if (!session) throw invalidToken();
  return { session, claims, account: accounts.findById(session.user.id) as Account };
}

/**
 * Finds the session of a request. Where a second factor is required, it must have been proved.
 *
 * @throws ProblemError
 */
export function currentSession(state: IssuerState, request: Request): Current {
  const current = anySession(state, request);
  if (state.secondFactor === 'required') requireDemand(current, { acr: 'aal2' });
  return current;
}

/**
 * Requires that the user of a session has proved as much as the account can, not long ago.
 *
 * @throws ProblemError
 */
export function requireFresh({ reauthenticateAfterS: maxAgeS }: IssuerState, current: Current): Current {
  return requireDemand(current, { acr: highestAcr(current.account.factors), maxAgeS });
}

/** @throws ProblemError */
export function requireDemand(current: Current, demand: AuthenticationDemand): Current {
  if (!meetsDemand(current.claims, demand)) throw insufficientAuthentication(demand);
  return current;
}
