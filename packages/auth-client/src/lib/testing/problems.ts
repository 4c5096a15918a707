import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import {
  type AuthenticationDemand,
  demandChallenge,
  type Problem,
  type ProblemCode,
  type ProblemItem,
  type SecondFactor,
} from '@latchkey/user-schema';
import { CHALLENGE_TTL_S } from './challenges.js';

type Members = Pick<Problem, 'challenge' | 'methods' | 'expiresIn'>;

/** Thrown by a handler to respond with a problem. */
export class ProblemError extends Error {
  readonly status: number;
  readonly code: ProblemCode;
  readonly errors: ProblemItem[] | undefined;
  readonly headers: Record<string, string>;
  /** Members that problems of some codes have beside those of all. */
  readonly members: Members;

  constructor(
    status: number,
    code: ProblemCode,
    detail: string,
    more: { errors?: ProblemItem[]; headers?: Record<string, string>; members?: Members } = {},
  ) {
    super(detail);
    this.status = status;
    this.code = code;
    this.errors = more.errors;
    this.headers = { ...(status === 401 && { 'www-authenticate': 'Bearer' }), ...more.headers };
    this.members = more.members ?? {};
  }
}

/** The response with a problem (RFC 9457); at the OAuth endpoints also an error of RFC 6749 §5.2. */
export function toResponse(
  { status, code, message, errors, headers, members }: ProblemError,
  isOAuth: boolean,
): Response {
  const problem: Problem = {
    type: `urn:latchkey:problem:${code}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: message,
    code,
    requestId: randomUUID(),
    ...(errors && { errors }),
    ...members,
  };
  const body = isOAuth ? { ...problem, error: code, error_description: message } : problem;
  const type = isOAuth ? 'application/json' : 'application/problem+json';
  return Response.json(body, { status, headers: { ...headers, 'content-type': type } });
}

export const invalidToken = (): ProblemError =>
  new ProblemError(401, 'invalid_token', 'The access token is not valid or has expired.', {
    headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
  });

export const missingToken = (): ProblemError =>
  new ProblemError(401, 'missing_token', 'Send an access token: Authorization: Bearer …');

export const insufficientAuthentication = (demand: AuthenticationDemand): ProblemError => {
  const detail = 'Prove again who you are: WWW-Authenticate says what this needs.';
  const headers = { 'www-authenticate': demandChallenge(demand) };
  return new ProblemError(401, 'insufficient_user_authentication', detail, { headers });
};

export const secondFactorRequired = (challenge: string, methods: SecondFactor[]): ProblemError => {
  const detail = 'A second factor is needed: send it with the challenge to /auth/sign-in/second-factor.';
  return new ProblemError(401, 'second_factor_required', detail, {
    members: { challenge, methods, expiresIn: CHALLENGE_TTL_S },
  });
};

export const invalidSecondFactor = (): ProblemError =>
  new ProblemError(401, 'invalid_second_factor', 'The second factor is not accepted, or was used already.');

export const invalidChallenge = (): ProblemError =>
  new ProblemError(401, 'invalid_challenge', 'The challenge has expired or was used; sign in again.');

export const notFound = (what: string): ProblemError => new ProblemError(404, 'not_found', `You have no ${what}.`);

export const signUpClosed = (): ProblemError =>
  new ProblemError(403, 'sign_up_closed', 'Ask an operator for an account.');

export const insufficientScope = (scope: string): ProblemError =>
  new ProblemError(403, 'insufficient_scope', `The access token does not have the scope ${scope}.`, {
    headers: { 'www-authenticate': `Bearer error="insufficient_scope", scope="${scope}"` },
  });

export const invalidClient = (): ProblemError =>
  new ProblemError(401, 'invalid_client', 'The client is unknown or its secret is wrong.', {
    headers: { 'www-authenticate': 'Basic realm="latchkey"' },
  });

export const invalidCredentials = (): ProblemError =>
  new ProblemError(401, 'invalid_credentials', 'Invalid credentials.');

export const invalidOneTimeToken = (): ProblemError =>
  new ProblemError(400, 'invalid_one_time_token', 'The link is not valid any more; request another.');

export const usernameTaken = (): ProblemError => new ProblemError(409, 'username_taken', 'That username is taken.');

export const emailTaken = (): ProblemError =>
  new ProblemError(409, 'email_taken', 'Another account has verified that address.');
