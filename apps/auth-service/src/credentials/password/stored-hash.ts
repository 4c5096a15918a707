import { FOREIGN_HEADS, type ForeignHash, readForeignHash, readForeignHead } from './foreign-hashes/index.js';

/** What a bcrypt row was made of: the password itself, Django's SHA-256 of it, or our HMAC of it. */
export type BcryptScheme = 'bcrypt' | 'bcrypt_sha256' | 'bcrypt-hmac-sha384';

/** A row that bcrypt compares. */
export type BcryptHash = {
  scheme: BcryptScheme;
  /** Id of the secret whose pepper went in. */
  pepperId: string | undefined;
  cost: number;
  /** As the library takes it. */
  hash: string;
};

// Ours: `$bcrypt-hmac-sha384$k=<pepper>$2b$<cost>$<salt and hash>`. Plain `$2a$`, `$2b$` and `$2y$` rows come from
// elsewhere, and Django puts the name of its hasher before them.
const PREFIX = '(?:\\$(bcrypt-hmac-sha384)\\$k=([A-Za-z0-9_-]{1,32})|(bcrypt|bcrypt_sha256)\\$)?';
const HEAD = `${PREFIX}\\$2[aby]\\$(0[4-9]|[12]\\d|3[01])\\$`;
const REST = '([./A-Za-z0-9]{53})';
const [WHOLE_BCRYPT, BCRYPT_HEAD] = [new RegExp(`^${HEAD}${REST}$`), new RegExp(`^${HEAD}$`)];

/** Reads a row that bcrypt compares; `undefined` when it is not one. */
export function readBcryptHash(stored: string): BcryptHash | undefined {
  const [all, ours, pepperId, djangos, cost, rest] = WHOLE_BCRYPT.exec(stored) ?? [];
  if (all === undefined) return undefined;
  // The variants differ only in bugs of long-gone implementations; the library knows `$2b$`.
  return { scheme: schemeOf(ours ?? djangos), pepperId, cost: Number(cost), hash: `$2b$${cost}$${rest}` };
}

const HEADS = new RegExp(`^(?:${[HEAD, ...FOREIGN_HEADS].join('|')})`);

/** What is stored beside a hash. */
export type HashForm = {
  /** What names its scheme, its settings and its pepper, and not its salt: it begins so. Empty when that is of no known form. */
  form: string;
  /** bcrypt's cost; `null` for other schemes. */
  cost: number | null;
  /** Id of the secret whose pepper went in. */
  secret: string | null;
};

/** Finds the form of a stored hash. */
export function formOf(stored: string): HashForm {
  const form = HEADS.exec(stored)?.[0] ?? '';
  const [, , pepperId, , cost] = BCRYPT_HEAD.exec(form) ?? [];
  return { form, cost: cost === undefined ? null : Number(cost), secret: pepperId ?? null };
}

/** What the form of a hash says. */
export type Form = Pick<BcryptHash, 'pepperId'> & Pick<ForeignHash, 'scheme' | 'excess'> & { cost: string | number };

/** Reads a form that {@link formOf} found. */
export function readForm(form: string): Form | undefined {
  const [all, ours, pepperId, djangos, cost] = BCRYPT_HEAD.exec(form) ?? [];
  if (all !== undefined) return { scheme: schemeOf(ours ?? djangos), pepperId, cost: Number(cost), excess: undefined };
  const foreign = readForeignHead(form);
  return foreign && { ...foreign, pepperId: undefined };
}

const schemeOf = (name: string | undefined) => (name ?? 'bcrypt') as BcryptScheme;

// What every comparison would cost from then on: about a second.
const MAX_COST = 14;

// Of forms that are not supported. Other text is not shown: it may be a password.
const KNOWN_NAMES =
  /^(?:\$(?:1|5|6|7|y|gy|P|H|S|sha1|md5|apr1)\$|\{(?:noop|ldap|md[45]|s?sha(?:-?\d{1,3})?|crypt|pbkdf2|scrypt|argon2|bcrypt)(?:@SpringSecurity_v\d_\d)?\}|(?:md5|sha1|sha256|sha512|crypt|hmac|unsalted_md5|unsalted_sha1)[$:])/i;

/** Says why a hash from a file cannot become an account's; `undefined` when it can. Never shows the hash. */
export function refusalOf(stored: string, accepts: { secretIds: string[]; bcryptCost: number }): string | undefined {
  const bcrypt = readBcryptHash(stored);
  if (!bcrypt) {
    const foreign = readForeignHash(stored);
    if (foreign) return foreign.excess;
    const [name] = KNOWN_NAMES.exec(stored) ?? [];
    return `is of no form that is known here${name === undefined ? '' : `: it begins with ${name}`}`;
  }
  const { pepperId, cost } = bcrypt;
  const maxCost = Math.max(MAX_COST, accepts.bcryptCost);
  if (cost > maxCost) return `has bcrypt cost ${cost}; ${maxCost} is the most`;
  if (pepperId !== undefined && !accepts.secretIds.includes(pepperId)) {
    return `needs the secret "${pepperId}", which is not in AUTH_SECRETS`;
  }
  return undefined;
}
