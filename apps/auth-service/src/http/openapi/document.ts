import { STATUS_CODES } from 'node:http';
import { MAX_PASSWORD_LENGTH } from '@latchkey/user-schema';
import type { PasswordSettings } from '../../config/sections/passwords.js';
import { HEADERS, headersOf } from './headers.js';
import { nameSchemas } from './named-schemas.js';
import { type Operation, problemsOf, type Route } from './operation.js';
import { type Components, describeProblems } from './problems.js';

type Document = {
  paths: Record<string, Record<string, Operation>>;
  components: Components & { headers: object };
};

/**
 * Completes the document of @fastify/swagger: responses to errors, headers, and the schemas of the contract by their names.
 *
 * @param routes by `operationId`
 */
export function completeDocument(
  { paths, components, ...document }: Document,
  routes: ReadonlyMap<string, Route>,
  { passwordMinLength }: Pick<PasswordSettings, 'passwordMinLength'>,
): object {
  const found: Components = { schemas: { ...components.schemas }, examples: {} };
  const completed = mapValues(paths, operations =>
    mapValues(operations, operation => complete(operation, routes.get(operation.operationId), found)),
  );
  const limits = { NewPassword: { minLength: passwordMinLength, maxLength: MAX_PASSWORD_LENGTH } };
  const named = nameSchemas(completed, found.schemas, limits);
  return {
    ...document,
    paths: named.paths,
    components: { ...components, schemas: named.schemas, examples: found.examples, headers: HEADERS },
  };
}

function complete(operation: Operation, route: Route | undefined, components: Components): Operation {
  const { requestBody, responses, ...rest } = operation;
  const problems = route && problemsOf(route);
  const refusals = problems ? describeProblems(problems.format, problems.thrown, components) : {};
  const isThrottled = '429' in refusals;
  const successes = Object.entries(responses).map(([status, { description, headers, ...response }]) => [
    status,
    {
      description: description === 'Default Response' ? STATUS_CODES[status] : description,
      headers: { ...headersOf(Number(status), { isThrottled }), ...headers },
      ...response,
    },
  ]);
  return {
    ...rest,
    // @fastify/swagger takes every body for required.
    ...(requestBody && { requestBody: { ...requestBody, ...(route?.hasOptionalBody && { required: false }) } }),
    responses: { ...Object.fromEntries(successes), ...refusals },
  };
}

function mapValues<T, U>(record: Record<string, T>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
}
