import { describeFault, type ProblemItem, type ProblemReason } from '@latchkey/user-schema';
import type { TSchema } from '@sinclair/typebox';
import { Errors, type ValueError, ValueErrorType } from '@sinclair/typebox/errors';
import { ProblemError } from './problems.js';

// The keywords of JSON Schema for the errors of TypeBox; what is not here is a wrong type.
const KEYWORDS: Partial<Record<ValueErrorType, string>> = {
  [ValueErrorType.ObjectRequiredProperty]: 'required',
  [ValueErrorType.ObjectAdditionalProperties]: 'additionalProperties',
  [ValueErrorType.ObjectMinProperties]: 'minProperties',
  [ValueErrorType.ObjectMaxProperties]: 'maxProperties',
  [ValueErrorType.StringMinLength]: 'minLength',
  [ValueErrorType.StringMaxLength]: 'maxLength',
  [ValueErrorType.StringPattern]: 'pattern',
  [ValueErrorType.Literal]: 'const',
};
const MAX_FAULTS = 10;

/** The problem of a part of a request that does not conform to a schema. */
export function nonconforming(part: 'body' | 'querystring', schema: TSchema, value: unknown): ProblemError {
  const errors: ProblemItem[] = [];
  for (const error of Errors(schema, value)) {
    // TypeBox goes on to the type of what is missing.
    const isKnown = errors.some(({ pointer, reason }) => pointer === error.path && reason === 'required');
    if (!isKnown) errors.push(toItem(error));
    if (errors.length === MAX_FAULTS) break;
  }
  return invalidRequest(part, errors);
}

/** The problem of one member of a request. */
export function invalidMember(
  pointer: string,
  reason: ProblemReason,
  detail: string,
  part: 'body' | 'headers' | 'querystring' = 'body',
): ProblemError {
  return invalidRequest(part, [{ pointer, reason, detail }]);
}

function toItem({ type, schema, path }: ValueError): ProblemItem {
  return { pointer: path, ...describeFault(KEYWORDS[type] ?? 'type', schema) };
}

function invalidRequest(part: string, errors: ProblemItem[]): ProblemError {
  const [first] = errors;
  const detail = `${part}${first?.pointer.replaceAll('/', '.')}: ${first?.detail}`;
  return new ProblemError(400, 'invalid_request', detail, { errors });
}
