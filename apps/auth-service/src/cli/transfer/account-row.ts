import { uuidv7 } from 'uuidv7';
import { isMailAddress } from '../../config/mail-address.js';
import { type FirebaseProject, toFirebaseHash } from '../../credentials/password/foreign-hashes/scrypt.js';
import { toStoredForm } from '../../credentials/password/foreign-hashes/stored-form.js';
import { refusalOf } from '../../credentials/password/stored-hash.js';
import { isUsername, USERNAME_FORM } from '../../credentials/username.js';
import { isUuid } from '../../database/uuid.js';
import type { GivenAccount } from './account-table.js';
import type { FileRow } from './rows.js';

/** Members of a row, and columns of a CSV file. Firebase's rows have a `salt` too. */
export const COLUMNS = {
  required: ['username', 'passwordHash'],
  optional: ['id', 'email', 'createdAt', 'disabled', 'salt'],
};

/** How rows are read: the secrets and the cost of this installation, and the Firebase project, if any. */
export type Reading = {
  secretIds: string[];
  bcryptCost: number;
  firebase?: FirebaseProject;
  /** Makes the members of an account of those of a row that other software exported. */
  translate?: (members: Record<string, unknown>) => Record<string, unknown>;
};

/** A row is not a valid account. The message never quotes the row, which may have a hash in the wrong column. */
export class BadRowError extends Error {}

const BASE64 = /^[A-Za-z0-9+/_-]{4,}={0,2}$/;
// PostgreSQL prints a space in place of T, and offsets of whole hours.
const TIME = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,3})\d*)?(Z|[+-]\d\d(?::?\d\d)?)$/i;
const TRUTH = new Map<unknown, boolean>([
  ...[true, 'true', 't', '1'].map(value => [value, true] as const),
  ...[false, 'false', 'f', '0', '', undefined, null].map(value => [value, false] as const),
]);

/**
 * Reads an account from a row.
 *
 * @throws BadRowError
 */
export function readAccount(row: FileRow, reading: Reading): GivenAccount & { line: number } {
  if ('problem' in row) throw new BadRowError(row.problem);
  const members = reading.translate?.(row.members) ?? row.members;
  const { id, username, email, passwordHash, salt, createdAt, disabled, ...others } = members;
  const extra = Object.keys(others).find(name => /^\w{1,32}$/.test(name));
  if (Object.keys(others).length > 0) throw new BadRowError(`has an unknown member${extra ? `: ${extra}` : ''}`);
  if (!isUsername(username)) throw new BadRowError(`has no valid username: ${USERNAME_FORM}`);
  const hasId = id !== undefined && id !== null && id !== '';
  if (hasId && !(typeof id === 'string' && isUuid(id))) throw new BadRowError('has an id that is not a UUID');
  return {
    ...{ line: row.line, id: hasId ? id.toLowerCase() : uuidv7(), hasId, username },
    email: readAddress(email),
    passwordHash: readHash(passwordHash, salt, reading),
    createdAt: readTime('createdAt', createdAt),
    disabled: readFlag('disabled', disabled),
  };
}

/**
 * Reads a member that is true or false; false when it is missing.
 *
 * @throws BadRowError
 */
export function readFlag(name: string, given: unknown): boolean {
  const flag = TRUTH.get(given);
  if (flag === undefined) throw new BadRowError(`has no valid ${name}: true or false`);
  return flag;
}

function readAddress(given: unknown): string | null {
  if (given === undefined || given === null || given === '') return null;
  if (typeof given !== 'string' || !isMailAddress(given))
    throw new BadRowError('has an email that is no e-mail address');
  return given;
}

/** Returns `null` for an account without a hash, or with Django's mark of an unusable one: it cannot sign in with a password. */
function readHash(given: unknown, salt: unknown, { firebase, ...accepts }: Reading): string | null {
  if (given === undefined)
    throw new BadRowError('has no passwordHash; it must be null for an account without a password');
  if (given === null || given === '') return null;
  if (typeof given !== 'string') throw new BadRowError('has a passwordHash that is not text');
  if (given.startsWith('!')) return null;
  const isFirebases = salt !== undefined && salt !== null && salt !== '';
  const hash = isFirebases ? readFirebaseHash(given, salt, firebase) : toStoredForm(given);
  const refusal = refusalOf(hash, accepts);
  if (refusal) throw new BadRowError(`has a passwordHash that ${refusal}`);
  return hash;
}

function readFirebaseHash(hash: string, salt: unknown, project: FirebaseProject | undefined): string {
  if (!project) throw new BadRowError('has a salt, as Firebase’s rows have: add --firebase-signer-key-file');
  if (typeof salt !== 'string' || !BASE64.test(salt) || !BASE64.test(hash)) {
    throw new BadRowError('has a passwordHash or a salt that is not base64');
  }
  const stored = toFirebaseHash(Buffer.from(hash, 'base64'), Buffer.from(salt, 'base64'), project);
  if (!stored) throw new BadRowError('has a passwordHash that was not made with this signer key');
  return stored;
}

/**
 * Reads a time of 1970 or later; `null` when it is missing.
 *
 * @throws BadRowError
 */
export function readTime(name: string, given: unknown): string | null {
  if (given === undefined || given === null || given === '') return null;
  const text = typeof given === 'string' ? given : '';
  const [, year, month, day, time, fraction = '0', zone = ''] = TIME.exec(text) ?? [];
  const offset = zone.replace(/^([+-]\d\d):?(\d\d)?$/, (_, hours, minutes = '00') => `${hours}:${minutes}`);
  const at = new Date(`${year}-${month}-${day}T${time}.${fraction.padEnd(3, '0')}${offset.toUpperCase()}`);
  // JavaScript reads the 30th of February as the first of March.
  const isDay = new Date(`${year}-${month}-${day}T00:00:00Z`).getUTCDate() === Number(day);
  if (Number.isNaN(at.getTime()) || !isDay || at.getTime() < 0 || at.getUTCFullYear() > 9999) {
    throw new BadRowError(`has no valid ${name}: an RFC 3339 time of 1970 or later`);
  }
  return at.toISOString();
}
