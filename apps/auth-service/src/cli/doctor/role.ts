import type { Queryable } from '@latchkey/service-kit/database';
import { FUNCTIONS, SCHEMA, TABLE_PRIVILEGES, type TablePrivilege } from '../../database/privileges.js';
import type { Connection } from './connection.js';
import { type Finding, fail, ok, warn } from './finding.js';

type Powers = { role: string; powers: string[] };
type Right = { table: string; privilege: TablePrivilege | 'TRUNCATE'; granted: boolean };

/** Checks whether the role has more powers than serving needs. */
export async function checkRole({ embedded, read }: Connection): Promise<Finding[]> {
  const name = 'role';
  if (embedded) return [ok(name, 'the superuser of the embedded database')];
  const { rows } = await read(db =>
    db.query<Powers>(
      `SELECT rolname AS role, array_remove(ARRAY[
         CASE WHEN rolsuper THEN 'is a superuser' END,
         CASE WHEN rolcreatedb AND NOT rolsuper THEN 'may create databases' END,
         CASE WHEN rolcreaterole AND NOT rolsuper THEN 'may create roles' END,
         CASE WHEN rolreplication AND NOT rolsuper THEN 'may replicate' END,
         CASE WHEN rolbypassrls AND NOT rolsuper THEN 'bypasses row-level security' END,
         CASE WHEN NOT rolsuper AND (SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = $1)
           THEN 'owns the schema ' || $1 END
       ], NULL) AS powers
     FROM pg_roles WHERE rolname = current_user`,
      [SCHEMA],
    ),
  );
  const { role, powers } = rows[0] as Powers;
  if (powers.length === 0) return [ok(name, `"${role}" has no special powers, and does not own the schema`)];
  const advice =
    'Use two roles: run "latchkey migrate --grant-to ROLE" as the one that owns the schema, and serve as ROLE with MIGRATE_ON_START=false. With one role for each service, as in docker-compose.yml, ownership is expected.';
  return [warn(name, `"${role}" ${powers.join(', ')}: more than serving needs`, advice)];
}

/** Compares the rights of the role with those that the service needs. */
export async function checkRights(db: Queryable): Promise<Finding[]> {
  const name = 'rights';
  const { rows: schemas } = await db.query<{ role: string; owns: boolean; usage: boolean }>(
    `SELECT current_user AS role, pg_has_role(nspowner, 'USAGE') AS owns, has_schema_privilege(oid, 'USAGE') AS usage
     FROM pg_namespace WHERE nspname = $1`,
    [SCHEMA],
  );
  const { rows: rights } = await db.query<Right>(
    `SELECT c.relname AS table, privilege, has_table_privilege(c.oid, privilege) AS granted
     FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS privilege
     WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') ORDER BY c.relname`,
    [SCHEMA],
  );
  const { rows: functions } = await db.query<{ call: string }>(
    `SELECT proname || '(' || oidvectortypes(proargtypes) || ')' AS call FROM pg_proc
     WHERE pronamespace = to_regnamespace($1) AND NOT has_function_privilege(oid, 'EXECUTE')`,
    [SCHEMA],
  );
  const [schema] = schemas;
  if (!schema || rights.length === 0) throw Object.assign(new Error('There is no schema.'), { code: '3F000' });

  const isNeeded = ({ table, privilege }: Right) =>
    TABLE_PRIVILEGES[table]?.includes(privilege as TablePrivilege) ?? false;
  const missing = [
    ...(schema.usage ? [] : [`USAGE on the schema ${SCHEMA}`]),
    ...list(rights.filter(right => !right.granted && isNeeded(right))),
    ...functions.filter(({ call }) => FUNCTIONS.some(known => known === call)).map(({ call }) => `EXECUTE on ${call}`),
  ];
  if (missing.length > 0) {
    const advice = `Run "latchkey migrate --grant-to ${schema.role}" as the role that owns the schema.`;
    return [fail(name, `"${schema.role}" lacks ${missing.join('; ')}`, advice)];
  }
  const surplus = list(rights.filter(right => right.granted && !isNeeded(right) && right.table in TABLE_PRIVILEGES));
  // An owner has every right, which the role check reports.
  if (schema.owns || surplus.length === 0) return [ok(name, 'the role has the rights that the service needs')];
  const advice = `Remove them with REVOKE … FROM "${schema.role}".`;
  return [warn(name, `"${schema.role}" has more than the service needs: ${surplus.join('; ')}`, advice)];
}

/** `INSERT, UPDATE on sessions` for each table. */
function list(rights: Right[]): string[] {
  const byTable = new Map<string, string[]>();
  for (const { table, privilege } of rights) byTable.set(table, [...(byTable.get(table) ?? []), privilege]);
  return [...byTable].map(([table, privileges]) => `${privileges.join(', ')} on ${table}`);
}
