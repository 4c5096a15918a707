import { FormatRegistry, type Static, type TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';

const FORMATS = {
  uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
  'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i,
};

/** Whether a value is what the contract says. Members that the contract does not name are allowed. */
export function conforms<S extends TSchema>(schema: S, value: unknown): value is Static<S> {
  // TypeBox knows no formats of its own.
  for (const [name, pattern] of Object.entries(FORMATS)) {
    if (!FormatRegistry.Has(name)) FormatRegistry.Set(name, text => pattern.test(text));
  }
  return Value.Check(schema, value);
}
