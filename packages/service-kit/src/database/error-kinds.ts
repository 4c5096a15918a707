/** What an error says of the database. */
export type DatabaseErrorKind =
  | 'unresolved'
  | 'no-listener'
  | 'no-socket'
  | 'not-allowed'
  | 'not-there'
  | 'login-refused'
  | 'tls'
  | 'no-database'
  | 'no-connection-left'
  | 'no-room'
  | 'not-accepting'
  | 'disconnected'
  | 'silent'
  | 'too-late'
  | 'conflict'
  | 'read-only'
  | 'broken';

type Row = {
  kind: DatabaseErrorKind;
  /** Whether the database cannot be used for now, as opposed to a fault of ours. */
  isOutage: boolean;
  /** Of Node, and of PostgreSQL (Appendix A). */
  code?: RegExp;
  /** Of the errors to which pg gives no code. */
  message?: RegExp;
  /** What poolers and TLS say in errors of a connection that cannot be opened. In other errors it means nothing. */
  opening?: RegExp;
};

// The first that matches counts: PgBouncer gives 08P01 to whatever it refuses.
const ROWS: Row[] = [
  { kind: 'unresolved', isOutage: true, code: /^(ENOTFOUND|EAI_\w+)$/ },
  { kind: 'no-listener', isOutage: true, code: /^ECONNREFUSED$/ },
  { kind: 'no-socket', isOutage: false, code: /^ENOENT$/ },
  { kind: 'not-allowed', isOutage: false, code: /^42501$/ },
  // A schema, table, column or function.
  { kind: 'not-there', isOutage: false, code: /^(3F000|42P01|42703|42883)$/ },
  {
    kind: 'login-refused',
    isOutage: true,
    code: /^28...$/,
    opening: /password|authentication failed|no such user/i,
  },
  { kind: 'tls', isOutage: false, opening: /SSL|TLS|CERT|self.signed/i },
  { kind: 'no-database', isOutage: true, code: /^3D000$/, opening: /no such database/i },
  { kind: 'no-connection-left', isOutage: true, code: /^53300$/ },
  { kind: 'no-room', isOutage: true, code: /^53...$/ },
  { kind: 'not-accepting', isOutage: true, code: /^(08...|57P0.)$/ },
  {
    kind: 'disconnected',
    isOutage: true,
    code: /^(ECONNRESET|EPIPE)$/,
    message:
      /^(Connection terminated|Client has encountered a connection error|Client was closed|Cannot use a pool after)/,
  },
  {
    kind: 'silent',
    isOutage: true,
    code: /^(ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)$/,
    message: /^(timeout expired|timeout exceeded when trying to connect|Query read timeout)/,
  },
  // A statement, a lock, a transaction that did nothing, a whole transaction.
  { kind: 'too-late', isOutage: true, code: /^(57014|55P03|25P03|25P04)$/ },
  { kind: 'conflict', isOutage: true, code: /^(40001|40P01)$/ },
  { kind: 'read-only', isOutage: true, code: /^25006$/ },
  { kind: 'broken', isOutage: true, code: /^58...$/ },
];

/** What an error says of the database; `undefined` when it says nothing of it. */
export function kindOfDatabaseError(error: unknown): DatabaseErrorKind | undefined {
  return findRow(error)?.kind;
}

/** What the error of a connection that could not be opened says of the database. */
export function kindOfRefusal(error: Error): DatabaseErrorKind | undefined {
  return findRow(error, `${codeOf(error)} ${error.message}`)?.kind;
}

/** Whether an error says that the database cannot be used for now, as opposed to a fault of ours. */
export function isDatabaseUnavailable(error: unknown): boolean {
  return findRow(error)?.isOutage === true;
}

function findRow(error: unknown, refusal?: string): Row | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = codeOf(error);
  return ROWS.find(
    row =>
      row.code?.test(code) || row.message?.test(error.message) || (refusal !== undefined && row.opening?.test(refusal)),
  );
}

function codeOf(error: Error): string {
  return String((error as NodeJS.ErrnoException).code ?? '');
}
