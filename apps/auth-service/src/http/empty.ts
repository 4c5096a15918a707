import { type TUnsafe, Type } from '@sinclair/typebox';

/**
 * The schema of a response without a body.
 *
 * @param headers what each of its headers says, for the document
 */
export function empty(description: string, headers: Record<string, string> = {}): TUnsafe<undefined> {
  const described = Object.entries(headers).map(([name, text]) => [name, { type: 'string', description: text }]);
  return Type.Unsafe<undefined>({ type: 'null', description, headers: Object.fromEntries(described) });
}
