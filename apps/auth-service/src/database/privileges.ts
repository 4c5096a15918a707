import pg from 'pg';

/** What to do when the role lacks a privilege. */
export const ROLE_ADVICE =
  'Migrate with the role that owns the schema, latchkey migrate --grant-to ROLE, and serve as that ROLE with MIGRATE_ON_START=false.';

/** A privilege on a table. */
export type TablePrivilege = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE';

const ALL = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] as const;

/** The schema of all our tables and functions. A role needs USAGE on it to use them. */
export const SCHEMA = 'auth';

/**
 * What the service and its command line do with each table: the privileges that their role needs at least. Triggers run as that
 * role too, and locking rows takes UPDATE.
 */
export const TABLE_PRIVILEGES: Readonly<Record<string, readonly TablePrivilege[]>> = {
  audit_events: ALL,
  // From before the trail had partitions.
  audit_events_before: ['SELECT', 'DELETE'],
  clients: ['SELECT', 'INSERT', 'UPDATE'],
  feed_drafts: ALL,
  feed_pages: ALL,
  identifiers: ALL,
  mail_queue: ALL,
  migrations: ['SELECT'],
  notices: ALL,
  one_time_tokens: ALL,
  passkeys: ALL,
  recovery_codes: ALL,
  revocation_batches: ALL,
  revocation_head: ['SELECT', 'UPDATE'],
  // Of replicas of the version before.
  revocation_pages: ALL,
  revocations: ALL,
  sessions: ALL,
  sign_up_keys: ['SELECT', 'INSERT', 'DELETE'],
  signing_keys: ALL,
  throttle_counters: ALL,
  // Used by replicas of the previous version.
  throttles: ALL,
  totp: ALL,
  used_challenges: ALL,
  users: ALL,
};

/** Functions that our statements call. PUBLIC may execute them, unless that was revoked. */
export const FUNCTIONS = [
  'end_oldest_sessions(uuid, uuid, integer, integer)',
  'end_oldest_sessions(uuid, uuid, integer, integer, uuid)',
  'keep_audit_partitions(integer)',
  'lock_throttle_counter(text)',
  'password_cost(text)',
  'revocation_batch()',
  'settle_attempt(jsonb, timestamp with time zone)',
  'spend_attempt(jsonb, double precision, boolean)',
] as const;

/** Statements that leave a role with these privileges and no others. */
export function grantsFor(role: string): string {
  const to = pg.escapeIdentifier(role);
  const tables = Object.entries(TABLE_PRIVILEGES);
  return [
    `REVOKE ALL ON ALL TABLES IN SCHEMA ${SCHEMA} FROM ${to}`,
    `REVOKE ALL ON SCHEMA ${SCHEMA} FROM ${to}`,
    `GRANT USAGE ON SCHEMA ${SCHEMA} TO ${to}`,
    ...tables.map(([table, privileges]) => `GRANT ${privileges.join(', ')} ON ${SCHEMA}.${table} TO ${to}`),
    ...FUNCTIONS.map(name => `GRANT EXECUTE ON FUNCTION ${SCHEMA}.${name} TO ${to}`),
  ].join(';\n');
}
