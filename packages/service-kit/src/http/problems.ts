import { STATUS_CODES } from 'node:http';
import { PROBLEM_CODES, type Problem, type ProblemCode, type ProblemItem } from '@latchkey/user-schema';
import { isDatabaseUnavailable } from '../database/error-kinds.js';

/** The response to an error. */
export interface ErrorResponse {
  status: number;
  code: ProblemCode;
  /** For people. */
  detail: string;
  headers: Record<string, string>;
  errors?: ProblemItem[];
  /** Further members of the problem (RFC 9457 §3.2). */
  members?: ProblemMembers;
}

/** Members that problems of some codes have beside those of all. */
export type ProblemMembers = Pick<Problem, 'challenge' | 'methods' | 'expiresIn'>;

/** What is read of an error: that of Fastify's errors, `@fastify/error`'s and the auth guard's. */
export interface RequestError extends Error {
  code?: string;
  statusCode?: number;
  headers?: Record<string, string>;
  errors?: ProblemItem[];
  members?: ProblemMembers;
  /** What a validator of `buildValidator` has found: items of a problem. */
  validation?: unknown;
  validationContext?: string;
}

// What Fastify itself refuses, in our words. Its messages are not passed on: those of JSON errors quote the body.
const FASTIFY_ERRORS: Record<string, [status: number, code: ProblemCode, detail: string]> = {
  FST_ERR_BAD_URL: [400, 'invalid_request', 'The path is not a valid URL path.'],
  FST_ERR_MAX_PARAM_LENGTH: [400, 'invalid_request', 'A part of the path is too long.'],
  FST_ERR_CTP_BODY_TOO_LARGE: [413, 'payload_too_large', 'The body is larger than 16 KiB.'],
  FST_ERR_CTP_EMPTY_JSON_BODY: [400, 'invalid_json', 'The body is empty; send a JSON object.'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [400, 'invalid_request', 'The body is not as long as Content-Length says.'],
  FST_ERR_CTP_INVALID_JSON_BODY: [400, 'invalid_json', 'The body is not valid JSON.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [415, 'unsupported_media_type', 'Send the body as Content-Type: application/json.'],
};

const RETRY_AFTER_S = '1';

/** Describes the response to an error. Never shows the cause of a fault of ours: log the error for that. */
export function describeError(error: RequestError): ErrorResponse {
  const known = FASTIFY_ERRORS[error.code ?? ''];
  if (known) return { status: known[0], code: known[1], detail: known[2], headers: {} };
  if (error.validation) return describeValidation(error.validation as ProblemItem[], error.validationContext ?? 'body');
  const isRefusal = error.statusCode !== undefined && error.statusCode < 500;
  if (error.statusCode === 503 || (!isRefusal && isDatabaseUnavailable(error))) {
    const headers = { 'retry-after': RETRY_AFTER_S, ...error.headers };
    return { status: 503, code: 'service_unavailable', detail: 'Try again shortly.', headers };
  }
  const { statusCode: status = 500, code = '' } = error;
  if (status >= 500) {
    const detail = 'Something went wrong; the log has it under the request id.';
    return { status: 500, code: 'internal_error', detail, headers: {} };
  }
  return {
    status,
    code: PROBLEM_CODES.find(known => known === code.toLowerCase()) ?? 'invalid_request',
    detail: error.message,
    headers: { ...(status === 401 && { 'www-authenticate': challenge(code.toLowerCase()) }), ...error.headers },
    ...(error.errors && { errors: error.errors }),
    ...(error.members && { members: error.members }),
  };
}

/** Makes a problem object (RFC 9457). */
export function toProblem(
  { status, code, detail, errors, members }: Omit<ErrorResponse, 'headers'>,
  requestId: string,
): Problem {
  const title = STATUS_CODES[status] ?? 'Error';
  const type = `urn:latchkey:problem:${code}`;
  return { type, title, status, detail, code, requestId, ...(errors && { errors }), ...members };
}

function describeValidation(errors: ProblemItem[], context: string): ErrorResponse {
  const [first] = errors;
  const where = `${context}${first?.pointer.replaceAll('/', '.')}`;
  return { status: 400, code: 'invalid_request', detail: `${where}: ${first?.detail}`, headers: {}, errors };
}

function challenge(code: string): string {
  if (code === 'invalid_client') return 'Basic realm="latchkey"';
  // RFC 6750 §3: no error code when the request carried no token.
  return code === 'invalid_token' ? 'Bearer error="invalid_token"' : 'Bearer';
}
