import { pbkdf2 } from '../../credentials/password/foreign-hashes/stored-form.js';
import { BadRowError, readFlag, readTime } from './account-row.js';

type Members = Record<string, unknown>;

/** How the export of other software is read. */
export type Source = {
  about: string;
  /**
   * Makes an account of a row.
   *
   * @throws BadRowError
   */
  read: (row: Members) => Members;
  /** Whether the account of a row has a second factor, which is not imported. */
  hasSecondFactor?: (row: Members) => boolean;
};

/** Software whose own export is read. */
export const SOURCES: Record<string, Source> = {
  auth0: { about: 'the NDJSON with password hashes that its support makes', read: readAuth0 },
  keycloak: {
    about: 'the users of a realm export, one a line',
    read: readKeycloak,
    hasSecondFactor: row => credentialsOf(row).some(one => SECOND_FACTORS.includes(one?.['type'])),
  },
  supabase: { about: 'auth.users as CSV or NDJSON', read: readSupabase },
};

const SECOND_FACTORS: unknown[] = ['otp', 'webauthn', 'webauthn-passwordless', 'recovery-authn-codes'];
const KEYCLOAK_PBKDF2: Record<string, string> = {
  pbkdf2: 'sha1',
  'pbkdf2-sha256': 'sha256',
  'pbkdf2-sha512': 'sha512',
};

function readAuth0(row: Members): Members {
  const { username, email, created_at: at } = row;
  return {
    username: username || requireAddress(email),
    email: readFlag('email_verified', row['email_verified']) ? email : null,
    passwordHash: row['passwordHash'] ?? null,
    // Of MongoDB, in its own JSON.
    createdAt: (at as { $date?: string } | undefined)?.$date ?? at ?? null,
    disabled: readFlag('blocked', row['blocked']),
  };
}

function readSupabase(row: Members): Members {
  const { id, email, created_at: at } = row;
  const isConfirmed = readTime('email_confirmed_at', row['email_confirmed_at']) !== null;
  return {
    ...{ id, username: requireAddress(email), email: isConfirmed ? email : null, createdAt: at },
    passwordHash: row['encrypted_password'] ?? null,
    disabled: isBanned(row['banned_until']) || (row['deleted_at'] ?? '') !== '',
  };
}

function requireAddress(email: unknown): unknown {
  if ((email ?? '') === '') throw new BadRowError('has no address, which would be its username');
  return email;
}

function isBanned(until: unknown): boolean {
  // As PostgreSQL prints a time without end.
  if (until === 'infinity') return true;
  const end = readTime('banned_until', until);
  return end !== null && Date.parse(end) > Date.now();
}

function readKeycloak(row: Members): Members {
  const { id, username, email, createdTimestamp: at } = row;
  if ('serviceAccountClientId' in row) throw new BadRowError('is the account of a service: make a client in its place');
  const password = credentialsOf(row).find(one => one?.['type'] === 'password');
  return {
    ...{ id, username, email: readFlag('emailVerified', row['emailVerified']) ? email : null },
    passwordHash: password ? keycloakHash(password) : null,
    createdAt: typeof at === 'number' ? timeOf(at) : at,
    disabled: !readFlag('enabled', row['enabled'] ?? true),
  };
}

const credentialsOf = ({ credentials }: Members) =>
  Array.isArray(credentials) ? (credentials as (Members | null)[]) : [];

/** What is not understood is passed on, and refused with its name. */
function keycloakHash({ secretData, credentialData }: Members): unknown {
  const [secret, settings] = [parse(secretData), parse(credentialData)];
  const [salt, key] = [bytesOf(secret['salt']), bytesOf(secret['value'])];
  const algorithm = textOf(settings['algorithm']);
  const iterations = Number(textOf(settings['hashIterations']));
  const digest = KEYCLOAK_PBKDF2[algorithm];
  if (digest !== undefined) return pbkdf2(digest, iterations, salt, key);
  const parameters = settings['additionalParameters'] as Record<string, unknown[] | null> | null | undefined;
  const of = (name: string) => textOf(parameters?.[name]?.[0]);
  if (algorithm !== 'argon2' || of('version') !== '1.3') return `{${algorithm}}`;
  const [plainSalt, plainKey] = [salt, key].map(bytes => bytes.toString('base64').replace(/=+$/, ''));
  return `$argon2${of('type')}$v=19$m=${of('memory')},t=${iterations},p=${of('parallelism')}$${plainSalt}$${plainKey}`;
}

/** What is no time is passed on, and refused as such. */
function timeOf(ms: number): string {
  const at = new Date(ms);
  return Number.isNaN(at.getTime()) ? String(ms) : at.toISOString();
}

/** What is neither text nor a number is none that is known. */
const textOf = (value: unknown) => (typeof value === 'string' || typeof value === 'number' ? String(value) : '');

/** None at all when there are none, which makes a hash of no known form. */
const bytesOf = (base64: unknown) => Buffer.from(typeof base64 === 'string' ? base64 : '', 'base64');

function parse(json: unknown): Members {
  try {
    return JSON.parse(textOf(json)) ?? {};
  } catch {
    return {};
  }
}
