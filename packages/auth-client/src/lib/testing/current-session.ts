import { type AccessTokenClaims, type AuthenticationDemand, meetsDemand } from '@latchkey/user-schema';
import type { Account, TestSession } from './accounts.js';
import { acrOf, highestAcr } from './factors.js';
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
  return requireHighest(current, maxAgeS);
}

/**
 * Requires that the user of a session has proved as much as the account can.
 *
 * @throws ProblemError
 */
export function requireHighest(current: Current, maxAgeS?: number): Current {
  const { account, claims, session } = current;
  const demand = { acr: highestAcr(account.factors), ...(maxAgeS !== undefined && { maxAgeS }) };
  // The factor that the token tells of may be gone since.
  const proved = acrOf(session.amr) === 'aal2' ? (claims.acr ?? 'aal1') : 'aal1';
  requireDemand({ ...current, claims: { ...claims, acr: proved } }, demand);
  return current;
}

/** Voids the links of an account that gets its first factor and has an address; tells whether it is the first. */
export function beginFactors({ links }: IssuerState, account: Account): boolean {
  const isFirst = highestAcr(account.factors) === 'aal1';
  if (isFirst && account.user.email !== null) links.removeAllOf(account);
  return isFirst;
}

/** @throws ProblemError */
export function requireDemand(current: Current, demand: AuthenticationDemand): Current {
  if (!meetsDemand(current.claims, demand)) throw insufficientAuthentication(demand);
  return current;
}
