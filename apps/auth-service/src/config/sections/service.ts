import { defaultShutdownDelayMs, serviceSettings } from '@latchkey/service-kit';
import { Type } from '@sinclair/typebox';
import { type SettingsOf, section } from '../section.js';

const { NODE_ENV, HOST, LOG_LEVEL, SHUTDOWN_DELAY_MS, DATA_DIR } = serviceSettings;

export const service = section(
  'The process',
  {
    NODE_ENV,
    HOST,
    PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65535, description: 'Port to listen on' }),
    LOG_LEVEL,
    SHUTDOWN_DELAY_MS,
    DATA_DIR,
  },
  ({ nodeEnv, ...settings }, { production }) => ({
    ...settings,
    production,
    host: settings.host ?? (production ? '0.0.0.0' : '127.0.0.1'),
    shutdownDelayMs: settings.shutdownDelayMs ?? defaultShutdownDelayMs(production),
  }),
);
export type ServiceSettings = SettingsOf<typeof service>;
