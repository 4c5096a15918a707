import { STATUS_CODES } from 'node:http';
import type { ProblemFormat, Thrown } from '@latchkey/service-kit/http';
import { OAuthProblem, Problem, type ProblemCode } from '@latchkey/user-schema';
import { describeThrown } from './examples.js';
import { headersOf } from './headers.js';
import type { Response } from './operation.js';

const REQUEST_ID = '0b3f5a5e-2f0c-4a53-9d0f-000000000001';
// What a problem of these codes always has beside the members of all.
const MEMBERS: Partial<Record<ProblemCode, (keyof Problem)[]>> = {
  second_factor_required: ['challenge', 'methods', 'expiresIn'],
  password_rejected: ['errors'],
};

const BASES = { Problem, OAuthProblem };
type Base = keyof typeof BASES;

/** The components that the responses of errors refer to. */
export type Components = { schemas: Record<string, object>; examples: Record<string, object> };

/** Makes the responses to what a route throws: for each status its codes, each with a schema and an example. */
export function describeProblems(
  format: ProblemFormat,
  thrown: readonly Thrown[],
  components: Components,
): Record<string, Response> {
  const base: Base = format.schema === OAuthProblem ? 'OAuthProblem' : 'Problem';
  const bodies = new Map(
    thrown
      .map(describeThrown)
      .map(described => [`${described.status} ${described.code}`, format.toBody(described, REQUEST_ID)]),
  );
  const responses: Record<string, Response> = {};
  for (const status of [...new Set([...bodies.values()].map(body => body.status))].sort()) {
    const problems = [...bodies.values()].filter(body => body.status === status);
    const codes = problems.map(({ code }) => code);
    for (const problem of problems) addComponents(components, base, problem);
    const schemas = codes.map(code => ({ $ref: `#/components/schemas/${schemaName(code, base)}` }));
    const examples = codes.map(code => [code, { $ref: `#/components/examples/${exampleName(code, status, base)}` }]);
    responses[status] = {
      description: `${STATUS_CODES[status]}: ${codes.map(code => `\`${code}\``).join(', ')}`,
      headers: headersOf(status),
      content: {
        [format.contentType]: {
          schema: schemas.length === 1 ? (schemas[0] as object) : oneOf(codes, schemas),
          examples: Object.fromEntries(examples),
        },
      },
    };
  }
  return responses;
}

function oneOf(codes: string[], schemas: { $ref: string }[]): object {
  const mapping = Object.fromEntries(codes.map((code, i) => [code, schemas[i]?.$ref]));
  return { oneOf: schemas, discriminator: { propertyName: 'code', mapping } };
}

function addComponents({ schemas, examples }: Components, base: Base, problem: Problem): void {
  const { code, status } = problem;
  schemas[base] ??= BASES[base];
  const members = MEMBERS[code] ?? [];
  const properties = Object.fromEntries(members.map(member => [member, Problem.properties[member]]));
  // As `enum`: generators do not narrow one by `const`.
  const only = { type: 'string', enum: [code] };
  const narrowed = { type: 'object', properties: { ...properties, code: only }, required: ['code', ...members] };
  schemas[schemaName(code, base)] ??= { allOf: [{ $ref: `#/components/schemas/${base}` }, narrowed] };
  examples[exampleName(code, status, base)] ??= { summary: problem.detail, value: problem };
}

const schemaName = (code: string, base: string) =>
  code.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase()) + base;
const exampleName = (code: string, status: number, base: string) => `${base}.${code}.${status}`;
