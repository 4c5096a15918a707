import { fileURLToPath } from 'node:url';
import { createMigrator } from '@latchkey/service-kit/database';

export const migrator = createMigrator({
  schema: 'notes',
  folder: fileURLToPath(new URL('migrations', import.meta.resolve('#package.json'))),
  // "notes" in ASCII.
  lock: 0x6e6f746573,
});
