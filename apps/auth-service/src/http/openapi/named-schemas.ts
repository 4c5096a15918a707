import * as contract from '@latchkey/user-schema';
import { Kind } from '@sinclair/typebox';

type Schemas = Record<string, object>;

/**
 * Replaces the schemas of the contract, wherever they are in a document, by references to components of their names.
 *
 * @param schemas further components, by name
 * @param limits what the contract leaves to the service, by the name of the schema
 * @returns the paths, and the components that are referred to
 */
export function nameSchemas(
  paths: object,
  schemas: Schemas,
  limits: Record<string, object>,
): { paths: object; schemas: Schemas } {
  const names = new Map<string, string>();
  for (const [name, schema] of Object.entries(contract)) {
    if (typeof schema === 'object' && Kind in schema) names.set(JSON.stringify(schema), name);
  }
  const used: Schemas = {};
  const visit = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    const name = names.get(JSON.stringify(value));
    if (name === undefined) return visitMembers(value);
    used[name] ??= { ...visitMembers(value), ...limits[name] };
    return { $ref: `#/components/schemas/${name}` };
  };
  const visitMembers = (value: object): object =>
    Array.isArray(value)
      ? value.map(visit)
      : Object.fromEntries(Object.entries(value).map(([name, member]) => [name, visit(member)]));

  const named = visitMembers(paths);
  for (const [name, schema] of Object.entries(schemas)) used[name] ??= visitMembers(schema);
  return { paths: named, schemas: used };
}
