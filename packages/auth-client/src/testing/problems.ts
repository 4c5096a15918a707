import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Problem, ProblemCode, ProblemItem } from '@latchkey/user-schema';

/** Thrown by a handler to be answered as a problem. */
export class Refusal extends Error {
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

/** Answers a refusal (RFC 9457), at the OAuth endpoints also as RFC 6749 §5.2 says. */
export function toResponse({ status, code, message, errors, headers }: Refusal, isOAuth: boolean): Response {
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

export const invalidToken = (): Refusal =>
  new Refusal(401, 'invalid_token', 'The access token is not valid or has expired.', {
    headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
  });

export const missingToken = (): Refusal =>
  new Refusal(401, 'missing_token', 'Send an access token: Authorization: Bearer …', {
    headers: { 'www-authenticate': 'Bearer' },
  });

export const insufficientScope = (scope: string): Refusal =>
  new Refusal(403, 'insufficient_scope', `The access token has not the scope ${scope}.`, {
    headers: { 'www-authenticate': `Bearer error="insufficient_scope", scope="${scope}"` },
  });

export const invalidClient = (): Refusal =>
  new Refusal(401, 'invalid_client', 'The client is not known or its secret is wrong.', {
    headers: { 'www-authenticate': 'Basic realm="latchkey"' },
  });

export const invalidCredentials = (): Refusal => new Refusal(401, 'invalid_credentials', 'Invalid credentials.');
