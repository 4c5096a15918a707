import type { Queryable } from '@latchkey/service-kit/database';
import type { Settings } from '../../config/settings.js';
import { migrator } from '../../database/migrate.js';
import { SCHEMA } from '../../database/privileges.js';
import { type Finding, fail, ok, plural, warn } from './finding.js';

const NAME = 'migrations';

/** Checks whether the schema is the one of this version of the service. */
export async function checkMigrations(db: Queryable, { migrateOnStart }: Settings): Promise<Finding[]> {
  const { applied, pending, unknown } = await migrator.findMigrations(db);
  const findings: Finding[] = [];
  if (pending.length > 0) {
    const detail = `${applied.length === 0 ? 'none is applied' : 'not all are applied'}; pending: ${pending.join(', ')}`;
    if (!migrateOnStart) {
      findings.push(
        fail(NAME, `${detail}; the service waits for them`, 'Run "latchkey migrate" as the role that owns the schema.'),
      );
    } else if (await mayMigrate(db)) {
      findings.push(warn(NAME, detail, 'Run "latchkey migrate", or start the service, which applies them.'));
    } else {
      const advice = 'Run "latchkey migrate" as the role that owns the schema, and set MIGRATE_ON_START=false here.';
      findings.push(fail(NAME, `${detail}; this role may not apply them`, advice));
    }
  }
  if (unknown.length > 0) {
    const detail = `a newer version of the service has migrated: this one does not know ${unknown.join(', ')}`;
    findings.push(warn(NAME, detail, 'Upgrade the service, unless you went back on purpose.'));
  }
  if (findings.length > 0) return findings;
  return [ok(NAME, `${plural(applied.length, 'migration')} applied, up to ${applied.at(-1)}`)];
}

async function mayMigrate(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ may: boolean }>(
    `SELECT coalesce(
       (SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = $1),
       has_database_privilege(current_database(), 'CREATE')
     ) AS may`,
    [SCHEMA],
  );
  return rows[0]?.may === true;
}
