/** What a reader has read: the life of the database, the position, and a hash of the published keys. */
export type Cursor = { life: string; position: number; keys: string };

/** Length of the id of a life of the database, in characters. */
export const LIFE_LENGTH = 12;
// The previous version put the id of a session behind the position.
const FORM = new RegExp(`^([0-9a-f]{${LIFE_LENGTH}})\\.(\\d{1,15})(?:\\.[0-9a-f-]{36})?~([\\w-]{0,11})$`);

/** Parses a cursor; `undefined` when the text is not one of this feed. */
export function parseCursor(text: string): Cursor | undefined {
  const [, life, position, keys] = FORM.exec(text) ?? [];
  if (life === undefined || position === undefined || keys === undefined) return undefined;
  return { life, position: Number(position), keys };
}

/** Writes a cursor. */
export function formatCursor({ life, position, keys }: Cursor): string {
  return `${life}.${position}~${keys}`;
}
