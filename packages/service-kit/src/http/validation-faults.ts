import { describeFault, type ProblemItem } from '@latchkey/user-schema';

/** An error of Ajv, as far as it is read. */
export type ValidationError = {
  instancePath: string;
  schemaPath: string;
  keyword: string;
  params: Record<string, unknown>;
};

// Thousands of unknown members, or one of 16 KiB, must not make a response many times as long.
const MAX_FAULTS = 10;
const MAX_POINTER_LENGTH = 100;

/** Describes what a validator has found: the first ten errors. */
export function describeFaults(schema: unknown, errors: readonly ValidationError[]): ProblemItem[] {
  return errors.slice(0, MAX_FAULTS).map(error => toItem(schema, error));
}

function toItem(schema: unknown, { instancePath, schemaPath, keyword, params }: ValidationError): ProblemItem {
  const member = params['missingProperty'] ?? params['additionalProperty'];
  const pointer = member === undefined ? shorten(instancePath) : memberOf(instancePath, member);
  return { pointer, ...describeFault(keyword, schemaOf(schema, schemaPath)) };
}

/** The schema that has the keyword to which a path of Ajv leads: `#/properties/username/pattern`. */
function schemaOf(schema: unknown, path: string): object {
  const steps = path.split('/').slice(1, -1);
  let at = schema;
  for (const step of steps) {
    const name = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~');
    at = (at as Record<string, unknown> | undefined)?.[name];
  }
  return (at as object | undefined) ?? {};
}

/** JSON pointer (RFC 6901) to a member. */
function memberOf(instancePath: string, name: unknown): string {
  // Shortened before it is escaped, so that no escape is cut in two.
  const escaped = shorten(String(name)).replaceAll('~', '~0').replaceAll('/', '~1');
  return `${shorten(instancePath)}/${escaped}`;
}

function shorten(text: string): string {
  return text.length > MAX_POINTER_LENGTH ? `${text.slice(0, MAX_POINTER_LENGTH)}…` : text;
}
