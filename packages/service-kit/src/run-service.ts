import closeWithGrace from 'close-with-grace';
import { explain } from './explain.js';

/** What is used of a Fastify app. */
export interface RunnableApp {
  listen(options: { host: string; port: number }): Promise<string>;
  close(): Promise<unknown>;
  log: Record<'info' | 'fatal', (details: object, message: string) => void> & { error(...details: unknown[]): void };
}

/** A configuration that is complete, and what belongs to it. */
export interface Prepared<Config> {
  config: Config;
  /** Folder of the embedded database, if that is used. */
  folder?: string;
  /** To be called when the service has closed. */
  release: () => Promise<void>;
}

/** The steps from nothing to a running service. */
export interface Steps<Config> {
  prepare: () => Promise<Prepared<Config>>;
  build: (config: Config) => Promise<RunnableApp>;
}

// Whoever has not closed by then is ended.
const CLOSE_WITHIN_MS = 10_000;

/**
 * Owns the process of a service: prepare → build → listen, and close on a signal. What keeps it from starting is said
 * in one line on standard error, and the process ends with exit code 1.
 */
export async function runService<Config extends { host: string; port: number }>(
  name: string,
  steps: Steps<Config>,
): Promise<void> {
  try {
    await start(steps);
  } catch (error) {
    console.error(`${name} cannot start. ${explain(error)}`);
    process.exit(1);
  }
}

async function start<Config extends { host: string; port: number }>(steps: Steps<Config>): Promise<void> {
  const { config, folder, release } = await steps.prepare();
  try {
    const app = await steps.build(config);
    if (folder) app.log.info({ folder }, 'using the embedded PostgreSQL');
    await app.listen({ host: config.host, port: config.port });
    const { close } = closeWithGrace({ delay: CLOSE_WITHIN_MS, logger: app.log }, async ({ err }) => {
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
