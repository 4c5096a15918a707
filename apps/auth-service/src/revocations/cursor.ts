/** How far a reader is: which life of the database it has read, up to which position, and which keys it knows. */
export type Cursor = { life: string; position: number; keys: string };

/** How many characters name a life of the database. */
export const LIFE_LENGTH = 12;
// The version before had the id of a session behind the position, and gave lives other names.
const FORM = new RegExp(`^([0-9a-f]{${LIFE_LENGTH}})\\.(\\d{1,15})(?:\\.[0-9a-f-]{36})?~([\\w-]{0,11})$`);

/** Reads a cursor; `undefined` when it is not one of ours. */
export function parseCursor(text: string): Cursor | undefined {
  const [, life, position, keys] = FORM.exec(text) ?? [];
  if (life === undefined || position === undefined || keys === undefined) return undefined;
  return { life, position: Number(position), keys };
}

/** Writes a cursor. */
export function formatCursor({ life, position, keys }: Cursor): string {
  return `${life}.${position}~${keys}`;
}
