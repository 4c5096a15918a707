import { describeDatabaseUrlFault, serviceSettings } from '@latchkey/service-kit';
import { Type } from '@sinclair/typebox';
import { type SettingsOf, section } from '../section.js';

const { DATABASE_URL } = serviceSettings;

export const database = section(
  'Database',
  {
    DATABASE_URL,
    MIGRATE_ON_START: Type.Boolean({
      default: true,
      description: '`false` waits until `latchkey migrate` has applied the migrations',
    }),
  },
  (settings, { complain }) => {
    const fault = settings.databaseUrl && describeDatabaseUrlFault(settings.databaseUrl);
    if (fault) complain(`DATABASE_URL ${fault}`);
    return settings;
  },
);
export type DatabaseSettings = Required<SettingsOf<typeof database>>;
