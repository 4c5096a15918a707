type Definition = {
  help: string;
  labels?: readonly string[];
  /** Label values that are 0 from the start, so that the first increase shows. */
  from?: readonly Record<string, string>[];
};

/** The limits of the throttles. */
export type LimitName = (typeof LIMIT_NAMES)[number];

const LIMIT_NAMES = [
  ...(['account', 'address', 'challenge', 'factors', 'forgotten', 'link'] as const),
  ...(['mail', 'pair', 'passkey', 'passkey-uses', 'sign-up', 'totp'] as const),
];
const LIMITS = LIMIT_NAMES.map(limit => ({ limit }));
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
  latchkey_hash_refusals_total: { help: 'Requests that got 503 because their hash would have waited too long' },
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
  latchkey_database_errors_total: { help: 'Requests that got 503 because the database was unavailable' },
  latchkey_database_refusals_total: {
    help: 'Requests that got 503 because too many others waited for a connection',
  },
  latchkey_database_connections_opened_total: { help: 'Database connections opened by the pool' },
  latchkey_database_connections_closed_total: { help: 'Database connections closed by the pool, for whatever reason' },
  latchkey_database_connections_lost_total: { help: 'Idle database connections that broke' },
} as const satisfies Record<string, Definition>;

/** What is read at each scrape. */
export const GAUGES = {
  latchkey_ready: { help: '1 when it is not closing, can sign tokens, and the database has responded in the last 5 s' },
  latchkey_hash_lane_waiting: { help: 'Hashes that wait' },
  latchkey_hash_lane_running: { help: 'Hashes that run' },
  latchkey_hash_lane_wait_seconds: { help: 'How long a new hash at the end of the queue would wait' },
  latchkey_mail_waiting: { help: 'Mails that wait to be sent, counted up to 10000; the same at each replica' },
  latchkey_mail_given_up: { help: 'Mails that were given up and are kept, counted up to 10000' },
  latchkey_mail_oldest_seconds: { help: 'How long the oldest mail that waits has waited' },
  latchkey_database_pool_connections: { help: 'Connections of the pool' },
  latchkey_database_pool_idle_connections: { help: 'Idle connections of the pool' },
  latchkey_database_pool_max_connections: { help: 'Maximum of connections of the pool' },
  latchkey_database_pool_waiting: { help: 'Requests that wait for a connection' },
  latchkey_revocations: { help: 'Ended sessions in the feed' },
  latchkey_revocations_age_seconds: {
    help: 'Time since ended sessions were last read; about a second in normal operation',
  },
  latchkey_signing_key_age_seconds: { help: 'How long the active signing key has signed' },
  latchkey_signing_key_next_seconds: {
    help: 'Time until the next signing key signs; absent unless a rotation is planned',
  },
  latchkey_signing_keys_unopened: { help: 'Published signing keys that AUTH_SECRETS does not open' },
} as const satisfies Record<string, Definition>;

/** What is measured, in seconds. */
export const HISTOGRAMS = {
  latchkey_hash_wait_seconds: {
    help: 'How long hashes waited for their turn',
    buckets: [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  },
} as const;

/** What `request-durations.ts` counts by hand. */
export const REQUEST_DURATIONS = {
  latchkey_http_request_duration_seconds: {
    help: 'How long responses took; the route is its pattern, or `unknown`',
    labels: ['method', 'route', 'status'],
  },
} as const;

export const BUILD_INFO = {
  latchkey_build_info: { help: 'Always 1; tells the version', labels: ['version'] },
} as const;

/** Names and values of labels. */
export type Labels = Record<string, string | number>;
