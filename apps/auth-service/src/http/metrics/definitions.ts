type Definition = {
  help: string;
  labels?: readonly string[];
  /** Label values that are 0 from the start, so that the first increase shows. */
  from?: readonly Record<string, string>[];
};

const LIMITS = ['account', 'address', 'forgotten', 'link', 'mail', 'pair', 'sign-up'].map(limit => ({ limit }));
const FAILURES = ['wrong_password', 'unknown_account', 'disabled', 'no_password'];

/** What is counted. */
export const COUNTERS = {
  latchkey_auth_events_total: {
    help: 'Events of accounts and sessions as in the audit log, failures by reason',
    labels: ['event', 'reason'],
    from: [
      ...['sign_up', 'sign_in', 'refresh', 'refresh_token_reuse'].map(event => ({ event })),
      ...FAILURES.map(reason => ({ event: 'sign_in_failed', reason })),
    ],
  },
  latchkey_hash_refusals_total: { help: 'Requests refused because a hash would have had to wait too long' },
  latchkey_throttle_decisions_total: {
    help: 'Requests that a limit of the throttles allowed or refused',
    labels: ['limit', 'decision'],
    from: LIMITS.flatMap(limit => ['allowed', 'refused'].map(decision => ({ ...limit, decision }))),
  },
  latchkey_throttle_blocks_total: {
    help: 'Blocks that the throttles have begun, by limit',
    labels: ['limit'],
    from: LIMITS,
  },
  latchkey_breach_check_failures_total: { help: 'Times the list of breached passwords did not respond' },
  latchkey_mail_attempts_total: {
    help: 'Attempts to send a mail, by how they ended',
    labels: ['outcome'],
    from: ['sent', 'failed', 'given_up'].map(outcome => ({ outcome })),
  },
  latchkey_database_errors_total: { help: 'Responses 503 because the database could not be used' },
  latchkey_database_refusals_total: {
    help: 'Requests refused because too many waited for a database connection',
  },
  latchkey_database_connections_opened_total: { help: 'Database connections opened by the pool' },
  latchkey_database_connections_closed_total: { help: 'Database connections closed by the pool, for whatever reason' },
  latchkey_database_connections_lost_total: { help: 'Idle database connections that broke' },
} as const satisfies Record<string, Definition>;

/** What is measured, in seconds. */
export const HISTOGRAMS = {
  latchkey_hash_wait_seconds: {
    help: 'How long hashes waited for their turn',
    buckets: [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  },
} as const;

/** Names and values of labels. */
export type Labels = Record<string, string | number>;
