import closeWithGrace from 'close-with-grace';
import { explain } from './explain.js';

/** What is used of a Fastify app. */
export interface RunnableApp {
  listen(options: { host: string; port: number }): Promise<string>;
  close(): Promise<unknown>;
  log: Record<'info' | 'fatal', (details: object, message: string) => void>;
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
 * Owns the process of a service: prepare → build → listen, and close on a signal, also on one that comes while it
 * starts. What keeps it from starting is said on standard error, and the process ends with exit code 1.
 */
export async function runService<Config extends { host: string; port: number }>(
  name: string,
  steps: Steps<Config>,
): Promise<void> {
  const starting = start(steps);
  const { close } = closeWithGrace({ delay: CLOSE_WITHIN_MS }, async ({ err }) => {
    const stop = await starting.catch(() => undefined);
    await stop?.(err);
  });
  try {
    await starting;
  } catch (error) {
    console.error(`${name} cannot start. ${explain(error)}`);
    process.exit(1);
  }
  // Started by another process, such as `pnpm start`: say when ready, and do not outlive it.
  process.send?.('ready');
  process.once('disconnect', close);
}

/** Starts the service. The answer stops it and gives back what it used. */
async function start<Config extends { host: string; port: number }>(
  steps: Steps<Config>,
): Promise<(error?: Error) => Promise<void>> {
  const { config, folder, release } = await steps.prepare();
  try {
    const app = await steps.build(config);
    if (folder) app.log.info({ folder }, 'using the embedded PostgreSQL');
    await app.listen({ host: config.host, port: config.port });
    return async error => {
      if (error) app.log.fatal({ err: error }, 'closing after an error');
      await app.close();
      await release();
    };
  } catch (error) {
    await release();
    throw error;
  }
}
