import type { Place } from './stored-revocations.js';

/** How far a reader is: which life of the database it has read, up to which place, and which keys it knows. */
export type Cursor = { life: string; place: Place; keys: string };

/** How many characters name a life of the database. */
export const LIFE_LENGTH = 12;
const FORM = new RegExp(
  `^([0-9a-f]{${LIFE_LENGTH}})\\.(\\d{1,15})\\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})~([\\w-]{0,11})$`,
);

/** Reads a cursor; `undefined` when it is not one of ours. */
export function parseCursor(text: string): Cursor | undefined {
  const [, life, position, sid, keys] = FORM.exec(text) ?? [];
  if (life === undefined || position === undefined || sid === undefined || keys === undefined) return undefined;
  return { life, place: { position: Number(position), sid }, keys };
}

/** Writes a cursor. */
export function formatCursor({ life, place, keys }: Cursor): string {
  return `${life}.${place.position}.${place.sid}~${keys}`;
}
