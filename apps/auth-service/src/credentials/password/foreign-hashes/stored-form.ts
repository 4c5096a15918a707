type Parameters = { N: number; r: number; p: number };

const DJANGO_SCRYPT = /^scrypt\$(\d{1,9})\$([\x21-\x23\x25-\x7e]{1,128})\$(\d{1,3})\$(\d{1,3})\$([A-Za-z0-9+/=]+)$/;
const SPRING = /^\{(\w+)(?:@SpringSecurity_v\d_\d)?\}(.*)$/s;
const SPRING_SCRYPT = /^\$([0-9a-f]{5,8})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)$/;
// A salt of 8 bytes, since Spring Security 5.8 of 16, and a digest of 32.
const SPRING_PBKDF2 = /^([0-9a-f]{16}|[0-9a-f]{32})([0-9a-f]{64})$/;
const SPRING_PBKDF2_SETTINGS: Record<number, string> = { 16: 'pbkdf2$185000', 32: 'pbkdf2-sha256$310000' };
const BETTER_AUTH = /^([0-9a-f]{32}):([0-9a-f]{128})$/;

/**
 * Rewrites a hash that is of no form that is stored here, as its software writes it, into one that is: Django's `scrypt$…`, what Spring's
 * `DelegatingPasswordEncoder` writes with its default settings, and Better Auth's. Any other text stays as it is.
 */
export function toStoredForm(given: string): string {
  const [, N, salt = '', r, p, digest = ''] = DJANGO_SCRYPT.exec(given) ?? [];
  if (N !== undefined) {
    return scrypt({ N: Number(N), r: Number(r), p: Number(p) }, base64(salt, 'utf8'), digest) ?? given;
  }
  const [, key, derived = ''] = BETTER_AUTH.exec(given) ?? [];
  if (key !== undefined) {
    // The text of the salt is what goes in, and not the bytes that it stands for.
    return scrypt({ N: 2 ** 14, r: 16, p: 1 }, base64(key, 'utf8'), base64(derived, 'hex'), 'scrypt-nfkc') ?? given;
  }
  const [, encoder = '', rest = ''] = SPRING.exec(given) ?? [];
  return fromSpring(encoder, rest) ?? given;
}

/** A PBKDF2 hash in the form of passlib; `digest` is `sha1`, `sha256` or `sha512`. */
export function pbkdf2(digest: string, iterations: number, salt: Buffer, key: Buffer): string {
  return `$pbkdf2${digest === 'sha1' ? '' : `-${digest}`}$${iterations}$${ab64(salt)}$${ab64(key)}`;
}

function fromSpring(encoder: string, rest: string): string | undefined {
  if (encoder === 'bcrypt' || encoder === 'argon2') return rest;
  if (encoder === 'scrypt') {
    const [, parameters, salt = '', digest = ''] = SPRING_SCRYPT.exec(rest) ?? [];
    if (parameters === undefined) return undefined;
    const number = Number.parseInt(parameters, 16);
    return scrypt({ N: 2 ** (number >>> 16), r: (number >>> 8) & 0xff, p: number & 0xff }, salt, digest);
  }
  const [, salt, digest = ''] = (encoder === 'pbkdf2' && SPRING_PBKDF2.exec(rest)) || [];
  if (salt === undefined) return undefined;
  const [saltBytes, key] = [Buffer.from(salt, 'hex'), Buffer.from(digest, 'hex')];
  return `$${SPRING_PBKDF2_SETTINGS[salt.length]}$${ab64(saltBytes)}$${ab64(key)}`;
}

/** `undefined` when the cost is no power of two. */
function scrypt({ N, r, p }: Parameters, salt: string, digest: string, name = 'scrypt'): string | undefined {
  const ln = Math.log2(N);
  return Number.isInteger(ln) ? `$${name}$ln=${ln},r=${r},p=${p}$${salt}$${digest}` : undefined;
}

const base64 = (text: string, encoding: 'hex' | 'utf8') => Buffer.from(text, encoding).toString('base64');
const ab64 = (bytes: Buffer) => bytes.toString('base64').replaceAll('+', '.').replace(/=+$/, '');
