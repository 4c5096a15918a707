import { provideDatabase } from '@latchkey/service-kit';
import { Command } from 'commander';
import { loadSettings } from '../config/settings.js';
import { assertRole, grantServing, migrator } from '../database/migrate.js';

/** `latchkey migrate` */
export function migrateCommand(): Command {
  return new Command('migrate')
    .description(
      'apply the pending migrations; services of the version before continue to work. Needs only DATABASE_URL',
    )
    .option('--grant-to <role>', 'grant this role the rights that the service needs in the schema, and no more')
    .option('--json', 'print JSON')
    .action(async ({ grantTo, json }: { grantTo?: string; json?: boolean }) => {
      const { databaseUrl, release } = await provideDatabase(loadSettings(undefined, ['DATABASE_URL']));
      try {
        if (grantTo !== undefined) await assertRole(databaseUrl, grantTo);
        const applied = await migrator.migrate(databaseUrl);
        if (grantTo !== undefined) await grantServing(databaseUrl, grantTo);
        if (json) return console.log(JSON.stringify({ applied, grantedTo: grantTo ?? null }, null, 2));
        console.log(applied.length > 0 ? `Applied ${applied.join(', ')}.` : 'The schema is up to date.');
        if (grantTo !== undefined) console.log(`The role ${grantTo} has the rights that the service needs.`);
      } finally {
        await release();
      }
    });
}
