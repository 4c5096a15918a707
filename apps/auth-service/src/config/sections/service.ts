import { portSetting, serviceDefaults, serviceSettings } from '@latchkey/service-kit';
import { type SettingsOf, section } from '../section.js';

const { NODE_ENV, HOST, LOG_LEVEL, SHUTDOWN_DELAY_MS, DATA_DIR } = serviceSettings;

export const service = section(
  'The process',
  {
    NODE_ENV,
    HOST,
    PORT: portSetting(3000),
    LOG_LEVEL,
    SHUTDOWN_DELAY_MS,
    DATA_DIR,
  },
  ({ nodeEnv, ...settings }, { production }) => ({
    ...serviceDefaults(production),
    ...settings,
    production,
  }),
);
export type ServiceSettings = SettingsOf<typeof service>;
