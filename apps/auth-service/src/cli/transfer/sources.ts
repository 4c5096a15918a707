import { pbkdf2 } from '../../credentials/password/foreign-hashes/stored-form.js';

type Members = Record<string, unknown>;

/** Software whose own export is read, each with what makes an account of one of its rows. */
export const SOURCES: Record<string, { about: string; read: (row: Members) => Members }> = {
  auth0: { about: 'the NDJSON with password hashes that its support makes', read: readAuth0 },
  keycloak: { about: 'the users of a realm export, one a line', read: readKeycloak },
  supabase: { about: 'auth.users as CSV or NDJSON', read: readSupabase },
};

const KEYCLOAK_PBKDF2: Record<string, string> = {
  pbkdf2: 'sha1',
  'pbkdf2-sha256': 'sha256',
  'pbkdf2-sha512': 'sha512',
};

function readAuth0({
  username,
  email,
  email_verified: isVerified,
  passwordHash,
  blocked,
  created_at: at,
}: Members): Members {
  return {
    username: username || email,
    email: isVerified === true ? email : null,
    passwordHash: passwordHash ?? null,
    // Of MongoDB, in its own JSON.
    createdAt: (at as { $date?: string } | undefined)?.$date ?? at ?? null,
    disabled: blocked ?? false,
  };
}

function readSupabase(row: Members): Members {
  const { id, email, encrypted_password: hash, email_confirmed_at: confirmedAt, created_at: at } = row;
  return {
    ...{ id, username: email, email: confirmedAt ? email : null, passwordHash: hash || null, createdAt: at },
    disabled: isTime(row['banned_until']) || isTime(row['deleted_at']),
  };
}

function isTime(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && !(Date.parse(value) < Date.now());
}

function readKeycloak(row: Members): Members {
  const { id, username, email, emailVerified, enabled, createdTimestamp, credentials } = row;
  const all = Array.isArray(credentials) ? (credentials as (Members | null)[]) : [];
  const password = all.find(one => one?.['type'] === 'password');
  return {
    ...{ id, username, email: emailVerified === true ? email : null },
    passwordHash: password ? keycloakHash(password) : null,
    createdAt: typeof createdTimestamp === 'number' ? timeOf(createdTimestamp) : null,
    disabled: enabled === false,
  };
}

/** What is not understood is passed on, and refused with its name. */
function keycloakHash({ secretData, credentialData }: Members): unknown {
  const [secret, settings] = [parse(secretData), parse(credentialData)];
  const [salt, key] = [bytesOf(secret['salt']), bytesOf(secret['value'])];
  const algorithm = String(settings['algorithm']);
  const iterations = Number(settings['hashIterations']);
  const digest = KEYCLOAK_PBKDF2[algorithm];
  if (digest !== undefined) return pbkdf2(digest, iterations, salt, key);
  const of = (name: string) => (settings['additionalParameters'] as Record<string, string[]> | undefined)?.[name]?.[0];
  if (algorithm !== 'argon2' || of('version') !== '1.3') return `{${algorithm}}`;
  const [plainSalt, plainKey] = [salt, key].map(bytes => bytes.toString('base64').replace(/=+$/, ''));
  return `$argon2${of('type')}$v=19$m=${of('memory')},t=${iterations},p=${of('parallelism')}$${plainSalt}$${plainKey}`;
}

/** What is no time is passed on, and refused as such. */
function timeOf(ms: number): string {
  const at = new Date(ms);
  return Number.isNaN(at.getTime()) ? String(ms) : at.toISOString();
}

/** None at all when there are none, which makes a hash of no known form. */
const bytesOf = (base64: unknown) => Buffer.from(typeof base64 === 'string' ? base64 : '', 'base64');

function parse(json: unknown): Members {
  try {
    return JSON.parse(String(json)) ?? {};
  } catch {
    return {};
  }
}
