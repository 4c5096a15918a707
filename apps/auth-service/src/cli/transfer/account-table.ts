import type { Queryable } from '@latchkey/service-kit/database';
import { foldName } from '../../credentials/identifiers.js';
import { formOf } from '../../credentials/password/stored-hash.js';
import { HASH_COLUMNS } from '../../credentials/password/stored-passwords.js';
import { statement, utc } from '../../database/sql.js';
import type { Origin } from '../../events/recorder.js';

/** An account of a file. */
export type GivenAccount = {
  id: string;
  /** Whether `id` is in the file; otherwise it was generated. */
  hasId: boolean;
  username: string;
  /** Its verified address. */
  email: string | null;
  passwordHash: string | null;
  /** RFC 3339, UTC; `null` means now. */
  createdAt: string | null;
  disabled: boolean;
};

/** Why an account of a file was not added; `unchanged`: it exists already. */
export type Leftover =
  | 'unchanged'
  | 'username_taken'
  | 'email_taken'
  | 'id_taken'
  | 'other_hash'
  | 'other_state'
  | 'changing';

/** The schema of the tables that accounts are added to: the real ones, or for a dry run those that the transaction drops. */
export type Target = 'auth' | 'pg_temp';

/** Creates the tables of a dry run. */
export async function createDryTables(db: Queryable): Promise<void> {
  for (const table of ['users', 'identifiers']) {
    await db.query(
      `CREATE TEMP TABLE ${table} (LIKE auth.${table} INCLUDING DEFAULTS INCLUDING INDEXES) ON COMMIT DROP`,
    );
  }
}

/**
 * Adds the accounts whose names and ids are free.
 *
 * @returns the accounts that were not added
 */
export async function insertAccounts<A extends GivenAccount>(
  db: Queryable,
  accounts: A[],
  target: Target,
): Promise<A[]> {
  const forms = accounts.map(({ passwordHash }) => (passwordHash === null ? undefined : formOf(passwordHash)));
  const { rows } = await db.query<{ id: string; username: string }>(
    `WITH given AS (
       SELECT DISTINCT ON (id) *
       FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::text[],
           $8::timestamptz[], $9::boolean[], $10::text[], $11::text[])
         WITH ORDINALITY AS given (id, username, name, hash, form, cost, secret, created_at, disabled, email, address, n)
       WHERE NOT EXISTS (SELECT FROM auth.users u WHERE u.id = given.id)
         AND NOT EXISTS (SELECT FROM ${target}.users u WHERE u.id = given.id)
       ORDER BY id, n
     ), addressed AS (
       SELECT DISTINCT ON (coalesce(address, id::text)) * FROM given
       WHERE address IS NULL OR NOT ${known(target, 'email', 'given.address')}
       ORDER BY coalesce(address, id::text), n
     ), claimed AS (
       INSERT INTO ${target}.identifiers (name, kind, user_id)
       SELECT name, 'username', id FROM addressed
       WHERE NOT EXISTS (SELECT FROM auth.identifiers i WHERE i.name = addressed.name AND i.kind = 'username')
       ORDER BY n ON CONFLICT DO NOTHING RETURNING user_id
     ), reachable AS (
       INSERT INTO ${target}.identifiers (name, kind, user_id)
       SELECT given.address, 'email', given.id FROM given JOIN claimed ON claimed.user_id = given.id
       WHERE given.address IS NOT NULL
     )
     INSERT INTO ${target}.users (id, username, email, ${HASH_COLUMNS}, created_at, disabled_at)
     SELECT id, username, email, hash, form, cost, secret, coalesce(created_at, now()), CASE WHEN disabled THEN now() END
     FROM given JOIN claimed ON claimed.user_id = given.id
     ORDER BY n RETURNING id, username`,
    [
      accounts.map(({ id }) => id),
      accounts.map(({ username }) => username),
      accounts.map(({ username }) => foldName(username)),
      accounts.map(({ passwordHash }) => passwordHash),
      forms.map(form => form?.form),
      forms.map(form => form?.cost),
      forms.map(form => form?.secret),
      accounts.map(({ createdAt }) => createdAt),
      accounts.map(({ disabled }) => disabled),
      accounts.map(({ email }) => email),
      accounts.map(({ email }) => (email === null ? null : foldName(email))),
    ],
  );
  const added = new Set(rows.map(({ id, username }) => `${id} ${username}`));
  // Of two equal accounts, one was added.
  return accounts.filter(({ id, username }) => !added.delete(`${id} ${username}`));
}

/** SQL of whether a name is an account's, or one's that a dry run would have added. */
const known = (target: Target, kind: string, name: string) =>
  `(${[...new Set<Target>(['auth', target])]
    .map(schema => `EXISTS (SELECT FROM ${schema}.identifiers i WHERE i.name = ${name} AND i.kind = '${kind}')`)
    .join(' OR ')})`;

/** Says why accounts were not added, in their order. */
export async function judgeLeftovers(db: Queryable, accounts: GivenAccount[], target: Target): Promise<Leftover[]> {
  // What a dry run would have added counts too.
  const schemas = new Set<Target>(['auth', target]);
  const rows = (where: (schema: Target) => string) =>
    `(${[...schemas].map(schema => `SELECT * FROM ${schema}.users WHERE ${where(schema)}`).join(' UNION ALL ')})`;
  const byName = (schema: Target) =>
    `id = (SELECT user_id FROM ${schema}.identifiers i WHERE i.name = given.folded AND i.kind = 'username')`;
  const { rows: verdicts } = await db.query<{ verdict: Leftover }>(
    `SELECT CASE
       WHEN byname.id IS NULL THEN CASE WHEN byid.id IS NOT NULL THEN 'id_taken'
         WHEN ${known(target, 'email', 'given.address')} THEN 'email_taken' ELSE 'changing' END
       WHEN byname.username <> given.name OR (given.has_id AND byname.id <> given.key) THEN 'username_taken'
       WHEN byname.password_hash IS DISTINCT FROM given.hash THEN 'other_hash'
       WHEN (byname.disabled_at IS NOT NULL) <> given.disabled THEN 'other_state'
       ELSE 'unchanged' END AS verdict
     FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::boolean[], $7::text[])
       WITH ORDINALITY AS given (key, name, folded, hash, disabled, has_id, address, n)
     LEFT JOIN LATERAL ${rows(byName)} AS byname ON true
     LEFT JOIN LATERAL ${rows(() => 'id = given.key')} AS byid ON true
     ORDER BY n`,
    [
      accounts.map(({ id }) => id),
      accounts.map(({ username }) => username),
      accounts.map(({ username }) => foldName(username)),
      accounts.map(({ passwordHash }) => passwordHash),
      accounts.map(({ disabled }) => disabled),
      accounts.map(({ hasId }) => hasId),
      accounts.map(({ email }) => (email === null ? null : foldName(email))),
    ],
  );
  return verdicts.map(({ verdict }) => verdict);
}

/** Records an import so far. Each batch updates the same event, so that a killed import is recorded too. */
export async function recordImport(
  db: Queryable,
  id: string,
  origin: Origin,
  details: Record<string, number>,
): Promise<void> {
  await RECORD_IMPORT(db, { id, ...origin, details });
}

const RECORD_IMPORT = statement<never, Origin & { id: string; details: Record<string, number> }>(`
  WITH updated AS (
    UPDATE auth.audit_events SET details = $details::jsonb WHERE place = $id AND id = $id RETURNING id
  )
  INSERT INTO auth.audit_events (place, id, request_id, address, user_agent, actor, event, details)
  SELECT $id::uuid, $id::uuid, $requestId, $address::inet, $userAgent, $actor, 'users_imported', $details::jsonb
  WHERE NOT EXISTS (SELECT FROM updated)`);

/** Notifies the replicas that the highest bcrypt cost may have risen. */
export async function notifyPasswordCosts(db: Queryable): Promise<void> {
  await db.query(`SELECT pg_notify('latchkey_auth', 'password_costs')`);
}

/** An account of an export. */
export type ExportedAccount = {
  id: string;
  username: string;
  email: string | null;
  passwordHash: string | null;
  createdAt: string;
  disabled: boolean;
};

/** Reads all accounts, `size` at a time, as of one moment: in the transaction of `db`. */
export async function* readAccounts(db: Queryable, size: number): AsyncIterable<ExportedAccount[]> {
  await db.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
  let after: string | null = null;
  for (;;) {
    const { rows }: { rows: ExportedAccount[] } = await db.query<ExportedAccount>(
      `SELECT id, username, email, password_hash AS "passwordHash", ${utc('created_at')} AS "createdAt",
         disabled_at IS NOT NULL AS disabled
       FROM auth.users WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2`,
      [after, size],
    );
    if (rows.length > 0) yield rows;
    if (rows.length < size) return;
    after = rows.at(-1)?.id ?? null;
  }
}
