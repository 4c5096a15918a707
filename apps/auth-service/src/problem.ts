import { STATUS_CODES } from 'node:http';
import type { Problem, ProblemCode, ProblemItem } from '@latchkey/user-schema';

/** Makes a problem object (RFC 9457). */
export function toProblem(
  status: number,
  code: ProblemCode,
  detail: string,
  requestId: string,
  errors?: ProblemItem[],
): Problem {
  const title = STATUS_CODES[status] ?? 'Error';
  return { type: `urn:latchkey:problem:${code}`, title, status, detail, code, requestId, ...(errors && { errors }) };
}
