import type { Queryable } from '@latchkey/service-kit/database';
import type { Settings } from '../../config/settings.js';
import { migrator } from '../../database/migrate.js';
import { SCHEMA } from '../../database/privileges.js';
import { type Finding, fail, ok, plural, warn } from './finding.js';

const NAME = 'migrations';

/** Looks whether the schema is the one that this version of the service knows. */
export async function checkMigrations(db: Queryable, { migrateOnStart }: Settings): Promise<Finding[]> {
  const { applied, pending, unknown } = await migrator.findMigrations(db);
  const findings: Finding[] = [];
  if (pending.length > 0) {
    const detail = `${applied.length === 0 ? 'none was applied' : 'not all were applied'}; pending: ${pending.join(', ')}`;
    if (!migrateOnStart) {
      findings.push(
        fail(NAME, `${detail}; the service waits for them`, 'Run "latchkey migrate" with the migrating role.'),
      );
    } else if (await mayMigrate(db)) {
      findings.push(warn(NAME, detail, 'Run "latchkey migrate", or start the service, which does that.'));
    } else {
      const advice = 'Run "latchkey migrate" with the migrating role, and set MIGRATE_ON_START=false here.';
      findings.push(fail(NAME, `${detail}; and this role may not apply them`, advice));
    }
  }
  if (unknown.length > 0) {
    const detail = `a newer version of the service has been here: this one does not know ${unknown.join(', ')}`;
    findings.push(warn(NAME, detail, 'Update this one, unless you are going back on purpose.'));
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
