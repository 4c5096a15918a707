import { fileURLToPath } from 'node:url';
import { createMigrator, withClient } from '@latchkey/service-kit/database';
import { grantsFor, SCHEMA } from './privileges.js';

export const migrator = createMigrator({
  schema: SCHEMA,
  folder: fileURLToPath(new URL('migrations', import.meta.resolve('#package.json'))),
  // "auth" in ASCII.
  lock: 0x61757468,
  command: 'latchkey migrate',
});

/** Rejects when there is no such role. */
export function assertRole(databaseUrl: string, role: string): Promise<void> {
  return withClient(databaseUrl, async client => {
    const { rowCount } = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [role]);
    if (rowCount === 0) throw new Error(`There is no role ${role}. Make it first: CREATE ROLE`);
  });
}

/** Grants a role what the service needs in the schema, and revokes all else that it had there. */
export function grantServing(databaseUrl: string, role: string): Promise<void> {
  return migrator.runAlone(databaseUrl, client => client.query(grantsFor(role)));
}
