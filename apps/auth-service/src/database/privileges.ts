import pg from 'pg';

/** What a role may be allowed to do with a table. */
export type TablePrivilege = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE';

const ALL = ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] as const;

/** Schema of everything that is ours. A role needs USAGE of it to use what is in it. */
export const SCHEMA = 'auth';

/**
 * What the service and its command line do with each table, and so the least that the role they run as must be allowed.
 * Triggers run as that role too, and locking rows takes UPDATE.
 */
export const TABLE_PRIVILEGES: Readonly<Record<string, readonly TablePrivilege[]>> = {
  audit_events: ALL,
  clients: ['SELECT', 'INSERT', 'UPDATE'],
  feed_drafts: ALL,
  feed_pages: ALL,
  identifiers: ['SELECT', 'INSERT'],
  migrations: ['SELECT'],
  revocation_batches: ALL,
  revocation_head: ['SELECT', 'UPDATE'],
  // Of replicas of the version before.
  revocation_pages: ALL,
  revocations: ALL,
  sessions: ALL,
  sign_up_keys: ['SELECT', 'INSERT', 'DELETE'],
  signing_keys: ALL,
  throttle_counters: ALL,
  // Of replicas of the version before.
  throttles: ALL,
  users: ['SELECT', 'INSERT', 'UPDATE'],
};

/** Functions that statements of ours call. PUBLIC may execute them, unless that was revoked. */
export const FUNCTIONS = [
  'end_oldest_sessions(uuid, uuid, integer, integer)',
  'lock_throttle_counter(text)',
  'password_cost(text)',
  'revocation_batch()',
  'settle_attempt(jsonb, timestamp with time zone)',
  'spend_attempt(jsonb, double precision, boolean)',
] as const;

/** Statements that leave a role with just these privileges. */
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
