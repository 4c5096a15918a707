import { runService } from '@latchkey/service-kit';
import { startTracing } from '@latchkey/tracing';
import { buildApp } from './app.js';
import { loadSettings } from './config.js';
import { prepare } from './development.js';

await runService('notes-service', {
  prepare: () => prepare(loadSettings()),
  async build(config, logStream) {
    await startTracing('notes-service');
    return buildApp(config, logStream);
  },
});
