/** Declares the problem answers of a route, by status. */
export function problemAnswers(...statuses: (400 | 401 | 403 | 404 | 409 | 413 | 415 | 422 | 429 | 503)[]) {
  const answer = {
    description: 'Problem (RFC 9457)',
    content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } },
  };
  return Object.fromEntries(['5xx', ...statuses].map(status => [status, answer]));
}
