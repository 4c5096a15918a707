import { runService } from '@latchkey/service-kit';
import { startTracing } from '@latchkey/tracing';
import { buildApp } from './app.js';
import { prepare } from './config/development.js';
import { loadSettings } from './config/settings.js';
import { ROLE_ADVICE } from './database/privileges.js';

await runService('auth-service', {
  prepare: () => prepare(loadSettings()),
  async build(config, logStream) {
    await startTracing('auth-service');
    return buildApp(config, logStream);
  },
  roleAdvice: ROLE_ADVICE,
});
