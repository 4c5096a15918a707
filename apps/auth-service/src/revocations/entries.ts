import type { Revocation } from '@latchkey/user-schema';

// Seconds since 1970 have ten digits until 2286.
const [BEFORE_SID, SID_LENGTH, BEFORE_EXP, EXP_LENGTH] = ['{"sid":"'.length, 36, '","exp":'.length, 10];
const EXP_AT = BEFORE_SID + SID_LENGTH + BEFORE_EXP;
/** Length of an entry with the comma behind it, in characters. */
export const ENTRY_LENGTH = EXP_AT + EXP_LENGTH + '},'.length;

/** SQL of an entry: a {@link Revocation} as JSON, from the columns `session_id` and `expires_at`. */
export const ENTRY = `'{"sid":"' || session_id || '","exp":' || floor(date_part('epoch', expires_at))::bigint || '}'`;

/** Calls a function with each entry of a text; takes half the time of parsing it as JSON. */
export function forEachEntry(entries: string, call: (revocation: Revocation) => void): void {
  for (let at = 0; at < entries.length; at += ENTRY_LENGTH) {
    call({
      sid: entries.slice(at + BEFORE_SID, at + BEFORE_SID + SID_LENGTH),
      exp: Number(entries.slice(at + EXP_AT, at + EXP_AT + EXP_LENGTH)),
    });
  }
}
