import { provideDatabase } from '@latchkey/service-kit';
import { Command } from 'commander';
import { loadSettings } from '../config/settings.js';
import { assertRole, grantServing, migrator } from '../database/migrate.js';

/** `latchkey migrate` */
export function migrateCommand(): Command {
  return new Command('migrate')
    .description(
      'bring the schema of the database up to date; services of the version before go on working. Needs DATABASE_URL alone',
    )
    .option('--grant-to <role>', 'allow that role what the service does, and nothing else in the schema')
    .option('--json', 'print JSON')
    .action(async ({ grantTo, json }: { grantTo?: string; json?: boolean }) => {
      const { databaseUrl, release } = await provideDatabase(loadSettings(undefined, ['DATABASE_URL']));
      try {
        if (grantTo !== undefined) await assertRole(databaseUrl, grantTo);
        const applied = await migrator.migrate(databaseUrl);
        if (grantTo !== undefined) await grantServing(databaseUrl, grantTo);
        if (json) return console.log(JSON.stringify({ applied, grantedTo: grantTo ?? null }, null, 2));
        console.log(applied.length > 0 ? `Applied ${applied.join(', ')}.` : 'The schema is up to date.');
        if (grantTo !== undefined) console.log(`The role ${grantTo} may do what the service does.`);
      } finally {
        await release();
      }
    });
}
