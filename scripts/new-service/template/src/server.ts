import { runService } from '@latchkey/service-kit';
import { startTracing } from '@latchkey/tracing';
import { buildApp } from './app.js';
import { loadConfig } from './config.js';

await runService('sample-service', {
  prepare: async () => ({ config: loadConfig(), release: async () => undefined }),
  async build(config, logStream) {
    await startTracing('sample-service');
    return buildApp(config, logStream);
  },
});
