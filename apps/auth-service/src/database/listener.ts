import { setTimeout as sleep } from 'node:timers/promises';
import { connectionConfig, isDatabaseUnavailable, type Queryable, setLimits } from '@latchkey/service-kit/database';
import type { FastifyBaseLogger } from 'fastify';
import pg from 'pg';

/** One connection that belongs to the service itself, so that no request can keep it busy or use it up. */
export type Listener = {
  /**
   * Runs work on the connection, one piece of work at a time.
   *
   * @throws when the connection is lost
   */
  ask<T>(work: (db: Queryable) => Promise<T>): Promise<T>;
  /** Closes the connection when the work is done. */
  close(): Promise<void>;
};

type Options = {
  databaseUrl: string;
  log: Pick<FastifyBaseLogger, 'debug'>;
  /** Called with the payload of each notification. */
  onNotification: (payload: string) => void;
  /** Called when the connection is open again after it was lost: notifications may have been missed. */
  onReconnect: () => void;
};

const CHANNEL = 'latchkey_auth';
const RECONNECT_MS = 500;

/** Opens the connection, and opens it again whenever it is lost. */
export async function startListener({ databaseUrl, log, onNotification, onReconnect }: Options): Promise<Listener> {
  let connection: pg.Client | undefined;
  let lost = Promise.resolve();
  let giveUp: () => void = () => undefined;
  let isClosing = false;

  const connect = async () => {
    const client = new pg.Client(connectionConfig(databaseUrl, 'auth-service listener'));
    lost = new Promise<void>(resolve => {
      giveUp = resolve;
      client.once('end', resolve).on('error', () => resolve());
    });
    client.on('notification', ({ payload }) => onNotification(payload ?? ''));
    try {
      await client.connect();
      await setLimits(client);
      await client.query(`LISTEN ${CHANNEL}`);
    } catch (error) {
      client.end().catch(() => undefined);
      throw error;
    }
    connection = client;
  };

  const keepConnected = async () => {
    while (connection || !isClosing) {
      if (connection) {
        await lost;
        // Not awaited: a server that is silent does not respond to the end of the connection either.
        connection.end().catch(() => undefined);
        connection = undefined;
      } else {
        await sleep(RECONNECT_MS, undefined, { ref: false });
        if (isClosing) return;
        await connect().then(onReconnect, error => log.debug({ err: error }, 'cannot connect to the database'));
      }
    }
  };

  let last: Promise<unknown> = Promise.resolve();
  const ask = <T>(work: (db: Queryable) => Promise<T>): Promise<T> => {
    const result = last.then(async () => {
      const db = connection;
      if (!db) throw Object.assign(new Error('The connection to the database is lost.'), { code: 'ECONNRESET' });
      try {
        return await work(db);
      } catch (error) {
        if (isDatabaseUnavailable(error) && connection === db) giveUp();
        throw error;
      }
    });
    last = result.catch(() => undefined);
    return result;
  };

  await connect();
  void keepConnected();
  return {
    ask,
    async close() {
      isClosing = true;
      await last;
      giveUp();
    },
  };
}
