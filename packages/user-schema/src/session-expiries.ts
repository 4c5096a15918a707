/**
 * When the last token of each of many sessions expires. It takes 27 to 53 bytes a session, and holds nothing that the
 * garbage collector has to visit; a `Map` of strings takes three times as much.
 */
export type SessionExpiries = {
  /** How many sessions there are. */
  size(): number;
  /** Whether a session is there. */
  has(sid: string): boolean;
  /**
   * Adds a session, or changes when its last token expires.
   *
   * @param sid a UUID
   * @param exp in seconds since 1970
   * @throws TypeError when `sid` is not a UUID
   */
  set(sid: string, exp: number): void;
  /** Adds sessions as the feed packs them: see {@link PACKED_LENGTH}. */
  addPacked(packed: Uint8Array): void;
  /** Whether a session is there that is packed at an offset. */
  hasPacked(packed: Uint8Array, at: number): boolean;
  /** Packs the sessions whose last token expires at `earliest` or later, but not those that another table has. */
  pack(earliest: number, other?: SessionExpiries): Uint8Array;
  /**
   * Removes sessions whose last token expired before a time, in seconds since 1970. A call looks at a 64th of them, so
   * that it takes little time; the calls take turns.
   */
  sweep(expiredBefore: number): void;
};

/** How many bytes a packed session takes: 16 of its id and 4 of the time `exp`, with the highest byte first. */
export const PACKED_LENGTH = 20;

/** Some of the sessions: an open-addressed hash table of slots. */
type Part = { slots: Uint32Array; count: number };

// A slot is the four words of an id and its expiry, which is 0 in an empty one.
const [WORDS, SLOT] = [4, 5];
const LATEST = 0xffff_ffff;
const FIRST_SLOTS = 8;
// A part is small enough to be made anew in a moment.
const PARTS = 256;
const SWEPT_AT_ONCE = PARTS / 64;

const LENGTH = 36;
const DASH = '-'.charCodeAt(0);
const NIBBLES = new Int8Array(128).fill(-1);
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16);
  NIBBLES[digit.charCodeAt(0)] = value;
  NIBBLES[digit.toUpperCase().charCodeAt(0)] = value;
}

const scratch = new Uint32Array(WORDS);

/** Whether a text is a UUID (RFC 9562 §4), and nothing else as the JSON schema format `uuid` allows. */
export function isUuid(text: string): boolean {
  return readUuid(text, scratch);
}

/** Makes an empty table. */
export function createSessionExpiries(): SessionExpiries {
  const parts: (Part | undefined)[] = new Array(PARTS).fill(undefined);
  const id = new Uint32Array(WORDS);
  let size = 0;
  let swept = 0;

  // A UUIDv7 begins with the time, whose upper 32 bits name a minute: sessions of one minute share a part, so that the
  // pages of the feed, which are ordered, find it in the processor's cache.
  const partOfId = () => (id[0] as number) % PARTS;

  const readId = (packed: Uint8Array, at: number) => {
    for (let word = 0; word < WORDS; word++) id[word] = readWord(packed, at + 4 * word);
  };
  /** Whether the id that was read is there. */
  const hasId = () => {
    const part = parts[partOfId()];
    return part !== undefined && part.slots[find(part.slots, id) + WORDS] !== 0;
  };
  /** Adds the id that was read. */
  const add = (exp: number) => {
    const index = partOfId();
    parts[index] ??= { slots: new Uint32Array(FIRST_SLOTS * SLOT), count: 0 };
    if (put(parts[index], id, Math.min(Math.max(exp, 1), LATEST))) size++;
  };

  return {
    size: () => size,
    has(sid) {
      return size > 0 && readUuid(sid, id) && hasId();
    },
    set(sid, exp) {
      if (!readUuid(sid, id)) throw new TypeError('The id of a session is not a UUID.');
      add(exp);
    },
    addPacked(packed) {
      for (let at = 0; at + PACKED_LENGTH <= packed.length; at += PACKED_LENGTH) {
        readId(packed, at);
        add(readWord(packed, at + 4 * WORDS));
      }
    },
    hasPacked(packed, at) {
      readId(packed, at);
      return hasId();
    },
    pack(earliest, other) {
      const packed = new Uint8Array(size * PACKED_LENGTH);
      const view = new DataView(packed.buffer);
      let end = 0;
      for (const part of parts) {
        if (!part) continue;
        forEachSlot(part, at => {
          if (expiryAt(part, at) < earliest) return;
          for (let word = 0; word < SLOT; word++) view.setUint32(end + 4 * word, part.slots[at + word] as number);
          if (!other?.hasPacked(packed, end)) end += PACKED_LENGTH;
        });
      }
      return packed.subarray(0, end);
    },
    sweep(expiredBefore) {
      for (let i = 0; i < SWEPT_AT_ONCE; i++, swept = (swept + 1) % PARTS) {
        const part = parts[swept];
        if (!part) continue;
        let live = 0;
        forEachSlot(part, at => {
          if (expiryAt(part, at) >= expiredBefore) live++;
        });
        size -= part.count - live;
        if (live < part.count) parts[swept] = live === 0 ? undefined : rebuilt(part, live, expiredBefore);
      }
    },
  };
}

/** Adds an id or changes its expiry; returns whether it is new. */
function put(part: Part, id: Uint32Array, exp: number): boolean {
  const { slots } = part;
  const at = find(slots, id);
  const isNew = slots[at + WORDS] === 0;
  for (let word = 0; word < WORDS; word++) slots[at + word] = id[word] as number;
  slots[at + WORDS] = exp;
  if (!isNew) return false;
  part.count++;
  if (part.count * SLOT * 4 > slots.length * 3) part.slots = rebuilt(part, 2 * part.count, 0).slots;
  return true;
}

/** Finds the slot of an id, or the empty one that it would have. */
function find(slots: Uint32Array, id: Uint32Array): number {
  const mask = slots.length / SLOT - 1;
  for (let slot = (id[3] as number) & mask; ; slot = (slot + 1) & mask) {
    const at = slot * SLOT;
    if (slots[at + WORDS] === 0) return at;
    // The last words are random and differ first.
    if (slots[at + 3] === id[3] && slots[at + 2] === id[2] && slots[at + 1] === id[1] && slots[at] === id[0]) return at;
  }
}

/** The sessions of a part that expire later, in a table with room for a number of them. */
function rebuilt(part: Part, room: number, expiredBefore: number): Part {
  let capacity = FIRST_SLOTS;
  while (capacity * 3 < room * 4) capacity *= 2;
  const slots = new Uint32Array(capacity * SLOT);
  const made = { slots, count: 0 };
  const id = new Uint32Array(WORDS);
  forEachSlot(part, at => {
    if (expiryAt(part, at) < expiredBefore) return;
    for (let word = 0; word < WORDS; word++) id[word] = part.slots[at + word] as number;
    const to = find(slots, id);
    for (let word = 0; word < SLOT; word++) slots[to + word] = part.slots[at + word] as number;
    made.count++;
  });
  return made;
}

const expiryAt = ({ slots }: Part, at: number) => slots[at + WORDS] as number;

function forEachSlot({ slots }: Part, call: (at: number) => void): void {
  for (let at = 0; at < slots.length; at += SLOT) if (slots[at + WORDS] !== 0) call(at);
}

/** Reads an unsigned integer in network byte order. */
function readWord(bytes: Uint8Array, at: number): number {
  const [a, b, c, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]] as [number, number, number, number];
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

/** Reads a UUID (RFC 9562 §4) into four words; returns whether it is one. */
function readUuid(text: string, id: Uint32Array): boolean {
  const a = readHalf(text, 0);
  const b = readHalf(text, 4);
  const c = readHalf(text, 9);
  const d = readHalf(text, 14);
  const e = readHalf(text, 19);
  const f = readHalf(text, 24);
  const g = readHalf(text, 28);
  const h = readHalf(text, 32);
  id[0] = (a << 16) | b;
  id[1] = (c << 16) | d;
  id[2] = (e << 16) | f;
  id[3] = (g << 16) | h;
  const hasDashes = isDash(text, 8) && isDash(text, 13) && isDash(text, 18) && isDash(text, 23);
  return text.length === LENGTH && hasDashes && (a | b | c | d | e | f | g | h) >= 0;
}

const isDash = (text: string, at: number) => text.charCodeAt(at) === DASH;

/** The number that four hexadecimal digits stand for; negative where they are none. */
function readHalf(text: string, at: number): number {
  return (
    (nibbleAt(text, at) << 12) | (nibbleAt(text, at + 1) << 8) | (nibbleAt(text, at + 2) << 4) | nibbleAt(text, at + 3)
  );
}

const nibbleAt = (text: string, at: number) => NIBBLES[text.charCodeAt(at)] ?? -1;
