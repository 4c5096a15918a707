import type { ProblemItem, ProblemReason } from './problem.js';

/** What a fault is of: the schema that a value does not conform to, as far as its constraints can be put in words. */
type FaultySchema = {
  type?: string | readonly string[];
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  enum?: readonly unknown[];
  const?: unknown;
  'x-message'?: string;
};

// By the keywords of JSON Schema that the schemas of requests have.
const REASONS: Record<string, ProblemReason> = {
  required: 'required',
  additionalProperties: 'unknown_member',
  type: 'type',
  anyOf: 'type',
  minLength: 'too_short',
  maxLength: 'too_long',
  pattern: 'pattern',
  format: 'pattern',
  enum: 'not_allowed',
  const: 'not_allowed',
  minProperties: 'too_few',
  minItems: 'too_few',
  maxProperties: 'too_many',
  maxItems: 'too_many',
};

/**
 * Describes why a value does not conform to a schema: the reason for programs, and a sentence that a form can show beside the
 * field. A schema with `x-message` has its own sentence, for whatever is wrong with the value.
 *
 * @param keyword - the keyword of JSON Schema that is not met
 * @param schema - the schema that has the keyword
 */
export function describeFault(keyword: string, schema: object): Omit<ProblemItem, 'pointer'> {
  const reason = REASONS[keyword] ?? 'invalid';
  if (reason === 'required') return { reason, detail: 'This is required.' };
  if (reason === 'unknown_member') return { reason, detail: 'This is not a known member.' };
  const faulty: FaultySchema = schema;
  return { reason, detail: faulty['x-message'] ?? explain(reason, faulty) };
}

function explain(reason: ProblemReason, schema: FaultySchema): string {
  const { type, minLength, maxLength, minimum, maximum } = schema;
  switch (reason) {
    case 'type':
      return type === undefined ? 'This has the wrong type.' : `This must be of type ${[type].flat().join(' or ')}.`;
    case 'too_short':
    case 'too_long':
      if (minLength === undefined) return `At most ${maxLength} characters.`;
      return maxLength === undefined ? `At least ${minLength} characters.` : `${minLength} to ${maxLength} characters.`;
    case 'not_allowed':
      return `This must be ${(schema.enum ?? [schema.const]).join(', ').replace(/, (?=[^,]*$)/, ' or ')}.`;
    case 'too_few':
      return 'Something is missing here.';
    case 'too_many':
      return 'There is too much here.';
    default:
      if (minimum !== undefined) return maximum === undefined ? `At least ${minimum}.` : `${minimum} to ${maximum}.`;
      return maximum === undefined ? 'This is not valid.' : `At most ${maximum}.`;
  }
}
