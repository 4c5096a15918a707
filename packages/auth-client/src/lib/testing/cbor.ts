/** What {@link encodeCbor} encodes. */
export type CborValue = number | string | Uint8Array | Map<number | string, CborValue>;

const [UNSIGNED, NEGATIVE, BYTES, TEXT, MAP] = [0, 1, 2, 3, 5];

/** Encodes a value in CBOR (RFC 8949), as far as WebAuthn needs it. Entries of maps keep their order. */
export function encodeCbor(value: CborValue): Buffer {
  if (typeof value === 'number') return value < 0 ? head(NEGATIVE, -1 - value) : head(UNSIGNED, value);
  if (typeof value === 'string') return Buffer.concat([head(TEXT, Buffer.byteLength(value)), Buffer.from(value)]);
  if (value instanceof Uint8Array) return Buffer.concat([head(BYTES, value.length), value]);
  const entries = [...value].flatMap(([key, item]) => [encodeCbor(key), encodeCbor(item)]);
  return Buffer.concat([head(MAP, value.size), ...entries]);
}

function head(type: number, argument: number): Buffer {
  if (argument < 24) return Buffer.of((type << 5) | argument);
  if (argument < 0x100) return Buffer.of((type << 5) | 24, argument);
  return Buffer.of((type << 5) | 25, argument >> 8, argument & 0xff);
}

/**
 * Decodes a value that {@link encodeCbor} can encode.
 *
 * @throws Error when the bytes are another one, or not a whole one
 */
export function decodeCbor(bytes: Buffer): { value: CborValue; length: number } {
  const first = bytes.readUInt8(0);
  const { argument, at } = readArgument(bytes, first & 0x1f);
  const whole = (end: number) => {
    if (end > bytes.length) throw new RangeError('The CBOR value is not whole.');
    return bytes.subarray(at, end);
  };
  switch (first >> 5) {
    case UNSIGNED:
      return { value: argument, length: at };
    case NEGATIVE:
      return { value: -1 - argument, length: at };
    case BYTES:
      return { value: whole(at + argument), length: at + argument };
    case TEXT:
      return { value: whole(at + argument).toString(), length: at + argument };
    case MAP:
      return decodeMap(bytes, argument, at);
    default:
      throw new TypeError('The CBOR value is of an unknown type.');
  }
}

function decodeMap(bytes: Buffer, size: number, start: number): { value: CborValue; length: number } {
  const map = new Map<number | string, CborValue>();
  let at = start;
  const next = () => {
    const { value, length } = decodeCbor(bytes.subarray(at));
    at += length;
    return value;
  };
  for (let i = 0; i < size; i++) map.set(next() as number | string, next());
  return { value: map, length: at };
}

function readArgument(bytes: Buffer, short: number): { argument: number; at: number } {
  if (short < 24) return { argument: short, at: 1 };
  if (short === 24) return { argument: bytes.readUInt8(1), at: 2 };
  if (short === 25) return { argument: bytes.readUInt16BE(1), at: 3 };
  throw new RangeError('The CBOR value is too large.');
}
