import { explain } from '@latchkey/service-kit';
import closeWithGrace from 'close-with-grace';
import { buildApp } from './app.js';
import { loadSettings } from './config.js';
import { prepare } from './development.js';

// The process: configuration → app → listen → close.
try {
  await start();
} catch (error) {
  console.error(`auth-service cannot start. ${explain(error)}`);
  process.exit(1);
}

async function start(): Promise<void> {
  const settings = loadSettings();
  const { config, folder, release } = await prepare(settings);
  try {
    const pretty = !config.production && process.stdout.isTTY ? (await import('pino-pretty')).default() : undefined;
    const app = await buildApp(config, pretty);
    if (folder) app.log.info({ folder }, 'using the embedded PostgreSQL');
    await app.listen({ host: config.host, port: config.port });
    const { close } = closeWithGrace({ delay: 10_000, logger: app.log }, async ({ err }) => {
      if (err) app.log.fatal({ err }, 'closing after an error');
      await app.close();
      await release();
    });
    // Started by another process, such as `pnpm start`: say when ready, and do not outlive it.
    process.send?.('ready');
    process.once('disconnect', close);
  } catch (error) {
    await release();
    throw error;
  }
}
