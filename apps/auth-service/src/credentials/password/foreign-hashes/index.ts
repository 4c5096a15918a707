import { timingSafeEqual } from 'node:crypto';
import { argon2 } from './argon2.js';
import { passlibBcrypt } from './bcrypt-sha256.js';
import { djangoPbkdf2, passlibPbkdf2, werkzeugPbkdf2 } from './pbkdf2.js';
import { type Encoding, excessOf, type Scheme, type Settings } from './scheme.js';
import { firebaseScrypt, phcScrypt, werkzeugScrypt } from './scrypt.js';

/** A hash that other software made. */
export type ForeignHash = Pick<Settings, 'scheme' | 'cost' | 'rounds'> & {
  /** Why it is not compared: its settings are too much. */
  excess: string | undefined;
  /** Synchronous and slow, for the hash worker alone. */
  matches(password: string): boolean;
};

const SCHEMES: Scheme[] = [
  ...[argon2, djangoPbkdf2, werkzeugPbkdf2, passlibPbkdf2],
  ...[werkzeugScrypt, firebaseScrypt, phcScrypt, passlibBcrypt],
];
// Fewer bytes would be guessed, more are nobody's.
const [MIN_DIGEST_BYTES, MAX_BYTES] = [16, 128];
const ENCODED: Record<Encoding, RegExp> = {
  ab64: /^[A-Za-z0-9./]+$/,
  base64: /^[A-Za-z0-9+/]+={0,2}$/,
  hex: /^(?:[0-9a-f]{2})+$/,
  utf8: /^[\x21-\x7e]+$/,
};

/** Patterns of what names a scheme and its settings, with which a hash begins. */
export const FOREIGN_HEADS = SCHEMES.map(({ head }) => head);

/** Reads a stored hash; `undefined` when it is of none of the forms known here. */
export function readForeignHash(stored: string): ForeignHash | undefined {
  for (const scheme of SCHEMES) {
    const [all, ...groups] = new RegExp(`^${scheme.head}`).exec(stored) ?? [];
    if (all === undefined) continue;
    const [salt, digest, ...more] = stored.slice(all.length).split('$');
    const [saltBytes, digestBytes] = [decode(salt, scheme.salt), decode(digest, scheme.digest)];
    if (more.length > 0 || saltBytes.length < (scheme.minSaltBytes ?? 1) || saltBytes.length > MAX_BYTES) return;
    if (digestBytes.length < MIN_DIGEST_BYTES || digestBytes.length > MAX_BYTES) return;
    const settings = scheme.read(groups);
    return {
      ...settings,
      excess: excessOf(settings),
      matches(password) {
        const derived = settings.derive(password, saltBytes, digestBytes.length);
        return timingSafeEqual(derived, digestBytes.subarray(0, derived.length));
      },
    };
  }
  return undefined;
}

/** Reads what one of {@link FOREIGN_HEADS} matches. */
export function readForeignHead(head: string): Pick<ForeignHash, 'scheme' | 'cost' | 'excess'> | undefined {
  for (const scheme of SCHEMES) {
    const groups = new RegExp(`^${scheme.head}$`).exec(head)?.slice(1);
    if (!groups) continue;
    const settings = scheme.read(groups);
    return { ...settings, excess: excessOf(settings) };
  }
  return undefined;
}

/** No bytes at all when the text is not in that encoding. */
function decode(text = '', encoding: Encoding): Buffer {
  if (!ENCODED[encoding].test(text)) return Buffer.alloc(0);
  return encoding === 'ab64' ? Buffer.from(text.replaceAll('.', '+'), 'base64') : Buffer.from(text, encoding);
}
