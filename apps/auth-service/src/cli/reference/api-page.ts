import { code, page, table } from './markdown.js';
import { nameOf, type OpenApi, type Operation, operationsOf, type Schema } from './openapi.js';

const INTRODUCTION = `Every operation, as \`/openapi.json\` of a service describes it for programs. [HTTP API](http-api.md) explains how they belong together,
and [Problem codes](problems.md) what the codes mean.`;
const CALLERS: Record<string, string> = {
  bearer: '`Authorization: Bearer` of a user',
  service: '`Authorization: Bearer` of a service',
  client: 'HTTP Basic of a client',
};

/** The operations by tag, then the schemas. */
export function apiPage(document: OpenApi): string {
  const parts = document.tags.flatMap(({ name, description }) => [
    `## ${description}`,
    ...operationsOf(document)
      .filter(({ operation }) => operation.tags.includes(name))
      .flatMap(describeOperation),
  ]);
  const schemas = Object.entries(document.components.schemas)
    // Those of problems are all alike.
    .filter(([name]) => !/.Problem$/.test(name))
    .sort(([one], [other]) => one.localeCompare(other))
    .flatMap(([name, schema]) => [`### ${name}`, ...describeSchema(schema)]);
  return page('API', INTRODUCTION, ...parts, '## Schemas', ...schemas);
}

function describeOperation({ method, path, operation }: { method: string; path: string; operation: Operation }) {
  const { operationId, summary, description, security = [], parameters = [], requestBody, responses } = operation;
  const callers = security.flatMap(one =>
    Object.entries(one).map(([scheme, scopes]) => [CALLERS[scheme] ?? scheme, ...scopes.map(code)].join(', scope ')),
  );
  const bodies = Object.values(requestBody?.content ?? {});
  const body = bodies.map(({ schema }) => `Body: ${typeOf(schema)}${requestBody?.required ? '' : ', or none'}.`);
  const rows = parameters.map(({ name, schema, description, ...one }) => [
    ...[code(name), one.in, one.required ? 'yes' : 'no', typeOf(schema)],
    description ?? schema.description ?? '',
  ]);
  return [
    `### ${method} ${path}`,
    `${summary}. ${description ?? ''}`.trim(),
    `${code(operationId)}. ${callers.length > 0 ? `Needs ${callers.join(' or ')}.` : 'Public.'} ${body.join(' ')}`.trim(),
    ...(rows.length > 0 ? [table(['parameter', 'in', 'required', 'type', 'meaning'], rows)] : []),
    table(['status', 'response'], Object.entries(responses).map(describeResponse)),
  ];
}

function describeResponse([status, { description, content = {} }]: [string, Operation['responses'][string]]) {
  const [{ schema } = {}] = Object.values(content);
  // The description of a problem names its codes.
  const isProblem = /^[45]/.test(status);
  const name = schema && !isProblem ? typeOf(schema) : undefined;
  return [status, [name, description === 'OK' ? undefined : description].filter(Boolean).join(': ')];
}

function describeSchema(schema: Schema): string[] {
  const { description, properties, required = [] } = schema;
  const text = description ? [`${description}.`] : [];
  if (!properties) return [...text, `${typeOf(schema)}.`];
  const rows = Object.entries(properties).map(([name, member]) => [
    ...[code(name), typeOf(member), required.includes(name) ? 'yes' : 'no'],
    member.description ?? '',
  ]);
  return [...text, table(['member', 'type', 'required', 'meaning'], rows)];
}

/** A type with its limits, and links to the schemas that it is made of. */
function typeOf(schema: Schema): string {
  const name = nameOf(schema);
  if (name) return `[${name}](#${name.toLowerCase()})`;
  const { anyOf, oneOf, items, const: only, enum: values, type } = schema;
  const choices = anyOf ?? oneOf;
  if (choices) return choices.map(typeOf).join(' or ');
  if (only !== undefined) return code(JSON.stringify(only));
  if (values) return values.map(value => code(JSON.stringify(value))).join(', ');
  if (items) return `list of ${typeOf(items)}${schema.maxItems === undefined ? '' : `, ${schema.maxItems} at most`}`;
  return [String(type ?? 'any JSON').replace(',', ' or '), ...limitsOf(schema)].join(', ');
}

function limitsOf({ minLength, maxLength, minimum, maximum, format }: Schema): string[] {
  const range = (from: number | undefined, to: number | undefined, unit: string) =>
    from === undefined && to === undefined ? [] : [`${from ?? 0} to ${to ?? '…'}${unit}`];
  return [
    ...(format === undefined ? [] : [format]),
    ...range(minLength, maxLength, ' characters'),
    ...range(minimum, maximum, ''),
  ];
}
