type ProblemStatus = 400 | 401 | 403 | 404 | 409 | 413 | 415 | 422 | 429 | 503;

const PROBLEM_RESPONSE = {
  description: 'Problem (RFC 9457)',
  content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } },
};

/** Declares the problem responses of a route, by status. */
export function problemResponses(...statuses: ProblemStatus[]): Record<string, typeof PROBLEM_RESPONSE> {
  return Object.fromEntries(['5xx', ...statuses].map(status => [status, PROBLEM_RESPONSE]));
}
