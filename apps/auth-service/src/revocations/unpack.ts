import { PACKED_LENGTH } from '@latchkey/user-schema';

/** Packed sessions as members of a JSON list, with commas between them: each a `Revocation`. */
export function toEntries(packed: Buffer): string {
  const entries: string[] = [];
  for (let at = 0; at < packed.length; at += PACKED_LENGTH) {
    const hex = packed.toString('hex', at, at + 16);
    const sid = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    entries.push(`{"sid":"${sid}","exp":${packed.readUInt32BE(at + 16)}}`);
  }
  return entries.join(',');
}
