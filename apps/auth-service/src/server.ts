import { runService } from '@latchkey/service-kit';
import { startTracing } from '@latchkey/tracing';
import { buildApp } from './app.js';
import { prepare } from './config/development.js';
import { loadSettings } from './config/settings.js';

await runService('auth-service', {
  prepare: () => prepare(loadSettings()),
  build: async config => {
    await startTracing('auth-service');
    // A person reads a terminal; everything else gets JSON.
    const pretty = !config.production && process.stdout.isTTY;
    return buildApp(config, pretty ? (await import('pino-pretty')).default() : undefined);
  },
});
