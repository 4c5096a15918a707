import { isUuid, type Revocation, Revocations } from '@latchkey/user-schema';
import { FormatRegistry, Kind, type Static, type TSchema, Type, TypeRegistry } from '@sinclair/typebox';
import { Check } from '@sinclair/typebox/value';

const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;
const FORMATS = { uuid: isUuid, 'date-time': (text: string) => DATE_TIME.test(text) };

// TypeBox has no formats of its own, and one registry for all who use it.
for (const [name, check] of Object.entries(FORMATS)) {
  if (!FormatRegistry.Has(name)) FormatRegistry.Set(name, check);
}

/** Whether a value conforms to a schema of the HTTP contract. Members that the contract does not name are allowed. */
export function conforms<S extends TSchema>(schema: S, value: unknown): value is Static<S> {
  return Check(schema, value);
}

const REVOCATIONS_KIND = 'latchkey:revocations';

/**
 * The schema of a page of the revocation feed. The list of sessions is checked by hand: for thousands of them TypeBox takes
 * ten times as long as parsing does.
 */
export const RevocationsPage: typeof Revocations = Type.Object({
  ...Revocations.properties,
  revoked: Type.Unsafe<Revocation[]>({ [Kind]: REVOCATIONS_KIND }) as unknown as typeof Revocations.properties.revoked,
});
if (!TypeRegistry.Has(REVOCATIONS_KIND)) {
  TypeRegistry.Set(REVOCATIONS_KIND, (_schema, value) => Array.isArray(value) && value.every(isRevocation));
}

function isRevocation(value: unknown): value is Revocation {
  const { sid, exp } = (value ?? {}) as Partial<Revocation>;
  return typeof sid === 'string' && isUuid(sid) && Number.isInteger(exp);
}
