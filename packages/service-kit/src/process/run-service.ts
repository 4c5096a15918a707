import { once } from 'node:events';
import { type Server, Server as TcpServer } from 'node:net';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import closeWithGrace from 'close-with-grace';
import type { FastifyInstance } from 'fastify';
import type { DestinationStream } from 'pino';
// Declares what is used of an app.
import type {} from '../http/health.js';
import { explain } from './explain.js';
import { ignoreMissing } from './optional.js';

/** What is used of a configuration. */
export interface RunnableConfig {
  production: boolean;
  host: string;
  port: number;
  /** Of a service with a database. */
  databaseUrl?: string;
  /** How long a service that has been told to end goes on, so that gateways notice first, in milliseconds. */
  shutdownDelayMs: number;
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
  /** Builds the app, which logs to the stream when there is one. */
  build: (config: Config, logStream: DestinationStream | undefined) => Promise<FastifyInstance>;
  /** Said when the database role lacks a privilege; see {@link explain}. */
  roleAdvice?: string;
}

// Connections that were accepted last have sent their requests by then.
const LINGER_MS = 250;
// Less than connections usually take to come one after the other.
const SHORT_TURN_MS = 0.1;
// Twice as many as Node lets wait to be accepted.
const TURNS_AT_MOST = 1024;
// Connections that are still open by then are cut off.
const RESPOND_WITHIN_MS = 10_000;
// A service that has not closed by then is ended.
const CLOSE_WITHIN_MS = 13_000;

/**
 * Owns the process of a service: prepare → build → listen, and close on a signal. What keeps it from starting is said on
 * standard error, and the process ends with exit code 1.
 *
 * A signal turns readiness red; the service goes on for `shutdownDelayMs`, accepts no more connections, answers what it
 * has, closes, and ends with exit code 0, at most 13 seconds after that delay. While it starts a signal ends it with 0 as
 * soon as it has given back what it uses, and a second signal always at once. An error that nobody has caught is logged,
 * and closes it without the delay and with exit code 1.
 */
export async function runService<Config extends RunnableConfig>(name: string, steps: Steps<Config>): Promise<void> {
  const preparing = Promise.resolve().then(steps.prepare);
  const complain = async (error: unknown) => {
    const prepared = await preparing.catch(() => undefined);
    console.error(`${name} cannot start. ${explain(error, prepared?.config.databaseUrl, steps.roleAdvice)}`);
  };
  let running: Running | undefined;
  let isClosing = false;
  const { close } = closeWithGrace({ delay: false }, async ({ err }) => {
    isClosing = true;
    const delayMs = running && !err ? running.shutdownDelayMs : 0;
    setTimeout(() => {
      console.error(`${name} has not closed in time.`);
      process.exit(1);
    }, delayMs + CLOSE_WITHIN_MS).unref();
    if (running) return running.stop(delayMs, err);
    // It serves nobody yet, and a migration that it is at is undone.
    if (err) await complain(err);
    const prepared = await preparing.catch(() => undefined);
    await prepared?.release();
  });
  try {
    running = await start(await preparing, steps.build);
  } catch (error) {
    // Then it ends as it was told to.
    if (isClosing) return;
    await complain(error);
    process.exit(1);
  }
  // Started by another process, such as `pnpm start`: say when ready, and do not outlive it.
  process.send?.('ready');
  process.once('disconnect', close);
}

type Running = { shutdownDelayMs: number; stop: (delayMs: number, error?: Error) => Promise<void> };

async function start<Config extends RunnableConfig>(
  { config, folder, release }: Prepared<Config>,
  build: Steps<Config>['build'],
): Promise<Running> {
  const { host, port, shutdownDelayMs } = config;
  try {
    // A person reads a terminal; everything else gets JSON.
    const isForPeople = !config.production && process.stdout.isTTY;
    const app = await build(config, isForPeople ? await prettyStream() : undefined);
    if (folder) app.log.info({ folder }, 'using the embedded PostgreSQL');
    await app.listen({ host, port }).catch(async error => {
      await app.close();
      throw error;
    });
    const stop = async (delayMs: number, error?: Error) => {
      if (error) app.log.fatal({ err: error }, 'closing after an error');
      else app.log.info({ delayMs }, 'closing');
      app.startDraining();
      await sleep(delayMs);
      await acceptWaiting(app.server);
      await stopAccepting(app.server);
      const cut = setTimeout(() => app.server.closeAllConnections(), RESPOND_WITHIN_MS);
      await app.close();
      clearTimeout(cut);
      await release();
    };
    return { shutdownDelayMs, stop };
  } catch (error) {
    await release();
    throw error;
  }
}

/** A log for people, where the service has pino-pretty among its development dependencies. */
async function prettyStream(): Promise<DestinationStream | undefined> {
  const pretty = await import('pino-pretty').catch(ignoreMissing);
  return pretty?.default();
}

/**
 * Resolves after a turn of the event loop that was short and had no connection to accept: those that wait when the service
 * stops listening are reset. A turn accepts one of them, and a long turn leaves time for others to come.
 */
async function acceptWaiting(server: Server): Promise<void> {
  let accepted = 0;
  const count = () => accepted++;
  server.on('connection', count);
  for (let turn = 0; turn < TURNS_AT_MOST; turn++) {
    const [before, begunAt] = [accepted, performance.now()];
    await setImmediate();
    if (accepted === before && performance.now() - begunAt < SHORT_TURN_MS) break;
  }
  server.off('connection', count);
}

/**
 * Accepts no more connections, and leaves those that are there alone: `http.Server.close` ends the ones that are idle, and
 * takes one for that whose request is on its way.
 */
async function stopAccepting(server: Server): Promise<void> {
  const closed = once(server, 'close');
  TcpServer.prototype.close.call(server);
  await Promise.race([closed, sleep(LINGER_MS)]);
}
