import type { ProblemResponses, Thrown } from '@latchkey/service-kit/http';
import { BODY_ERRORS, JSON_ERROR, SCHEMA_ERROR, SCHEME_ERRORS, SERVICE_ERRORS } from './examples.js';

export type Response = {
  $ref?: string;
  description: string;
  headers?: Record<string, object>;
  content?: Record<string, { schema: object; examples?: Record<string, object> }>;
};

/** An operation of the document, as far as it is read and completed. */
export type Operation = {
  operationId: string;
  responses: Record<string, Response>;
  requestBody?: { required?: boolean };
};

/** The schema of a route, as far as it is read. */
export type RouteSchema = {
  hide?: boolean;
  operationId?: string;
  body?: unknown;
  consumes?: readonly string[];
  headers?: unknown;
  params?: unknown;
  querystring?: unknown;
  security?: readonly Record<string, readonly string[]>[];
  response?: Record<string, unknown>;
};

/** A route that the document describes. */
export type Route = { schema: RouteSchema; method: unknown; hasOptionalBody: boolean };

type Problems = ProblemResponses['4xx']['x-problems'];

/** Tells what a route can throw: what it declares, and what its schema and its guard throw before it. */
export function problemsOf({ schema, method }: Route): Problems | undefined {
  const declared = schema.response?.['4xx'] as ProblemResponses['4xx'] | undefined;
  if (!declared) return undefined;
  const { format, thrown } = declared['x-problems'];
  const hasSchema = [schema.body, schema.headers, schema.params, schema.querystring].some(Boolean);
  const schemes = (schema.security ?? []).flatMap(Object.keys);
  // The server reads the body of any other request, whether the route has a use for it or not.
  const mayHaveBody = method !== 'GET';
  const all: Thrown[] = [
    ...(hasSchema ? [SCHEMA_ERROR] : []),
    ...(mayHaveBody ? BODY_ERRORS : []),
    ...(mayHaveBody && !schema.consumes ? [JSON_ERROR] : []),
    ...schemes.flatMap(scheme => SCHEME_ERRORS[scheme] ?? []),
    ...thrown,
    ...SERVICE_ERRORS,
  ];
  return { format, thrown: all };
}
