import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Problem, ProblemCode, ProblemItem } from '@latchkey/user-schema';

/** Thrown by a handler to respond with a problem. */
export class ProblemError extends Error {
  readonly status: number;
  readonly code: ProblemCode;
  readonly errors: ProblemItem[] | undefined;
  readonly headers: Record<string, string>;

  constructor(
    status: number,
    code: ProblemCode,
    detail: string,
    more: { errors?: ProblemItem[]; headers?: Record<string, string> } = {},
  ) {
    super(detail);
    this.status = status;
    this.code = code;
    this.errors = more.errors;
    this.headers = more.headers ?? {};
  }
}

/** The response with a problem (RFC 9457); at the OAuth endpoints also an error of RFC 6749 §5.2. */
export function toResponse({ status, code, message, errors, headers }: ProblemError, isOAuth: boolean): Response {
  const problem: Problem = {
    type: `urn:latchkey:problem:${code}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: message,
    code,
    requestId: randomUUID(),
    ...(errors && { errors }),
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
  new ProblemError(401, 'missing_token', 'Send an access token: Authorization: Bearer …', {
    headers: { 'www-authenticate': 'Bearer' },
  });

export const insufficientAuthentication = (maxAgeS: number): ProblemError => {
  const detail = `Sign in again: the last sign-in is more than ${maxAgeS} seconds ago.`;
  const challenge = `Bearer error="insufficient_user_authentication", acr_values="aal1", max_age=${maxAgeS}`;
  const headers = { 'www-authenticate': challenge };
  return new ProblemError(401, 'insufficient_user_authentication', detail, { headers });
};

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
