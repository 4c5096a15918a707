import type { Problem } from '@latchkey/user-schema';
import { type ErrorResponse, toProblem } from './problems.js';

/** How a route writes its problems. */
export interface ProblemFormat {
  contentType: string;
  schema: object;
  toBody(described: Omit<ErrorResponse, 'headers'>, requestId: string): Problem;
}

/** The schema of every problem in the responses of routes. */
export const PROBLEM: { $ref: string } = { $ref: 'Problem#' };
const PROBLEM_JSON: ProblemFormat = {
  contentType: 'application/problem+json',
  schema: PROBLEM,
  toBody: toProblem,
};

/** An error that a route throws: its class, or one of its instances where a class alone says too little. */
export type Thrown = Error | (new () => Error);

/** The error responses of a route, with what a document says of them. */
export interface ProblemResponses {
  '4xx': ProblemResponse & { 'x-problems': { format: ProblemFormat; thrown: readonly Thrown[] } };
  '5xx': ProblemResponse;
}
type ProblemResponse = { description: string; content: Record<string, { schema: object }> };

/**
 * Declares the errors that a route throws, other than those of every route. A schema of a request, and the token that a route
 * needs, have errors of their own: those are not named here.
 */
export function problemResponses(...thrown: Thrown[]): ProblemResponses {
  return problemResponsesAs(PROBLEM_JSON, ...thrown);
}

/** As {@link problemResponses}, for a route that writes its problems in another format. */
export function problemResponsesAs(format: ProblemFormat, ...thrown: Thrown[]): ProblemResponses {
  const { contentType, schema } = format;
  const response = { description: 'Problem (RFC 9457)', content: { [contentType]: { schema } } };
  return { '4xx': { ...response, 'x-problems': { format, thrown } }, '5xx': response };
}
