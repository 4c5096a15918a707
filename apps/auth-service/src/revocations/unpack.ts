import { PACKED_LENGTH, type Revocation } from '@latchkey/user-schema';

/** Unpacks sessions of the feed. */
export function unpack(packed: Buffer): Revocation[] {
  const revocations: Revocation[] = [];
  for (let at = 0; at < packed.length; at += PACKED_LENGTH) {
    const hex = packed.toString('hex', at, at + 16);
    const sid = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    revocations.push({ sid, exp: packed.readUInt32BE(at + 16) });
  }
  return revocations;
}
