import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import getPort from 'get-port';
import { stopsOnce } from '../cleanup.js';

/** What stands between the service and its database, and can fail as a network does. */
export type TcpProxy = {
  /** The URL of a database, as seen through here. */
  urlOf(databaseUrl: string): string;
  /** Where new connections lead. */
  leadTo(port: number): void;
  /** Nothing gets through, in either direction, and nobody is told; connections that come up meanwhile wait. */
  swallow(): void;
  /** What was swallowed arrives, as TCP sends it again. */
  release(): void;
  /** Ends all connections in the middle of whatever they do. */
  reset(): void;
  /** Resets those that are there, and takes no others. */
  refuse(): Promise<void>;
  accept(): Promise<void>;
  stop(): Promise<void>;
};

/** Starts a TCP proxy on the loopback address. */
export async function startProxy(target: number): Promise<TcpProxy> {
  const port = await getPort({ host: '127.0.0.1' });
  const sockets = new Set<Socket>();
  const waiting: (() => void)[] = [];
  let to = target;
  let isSwallowing = false;

  const keep = (socket: Socket) => {
    sockets.add(socket);
    if (isSwallowing) socket.pause();
    return socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
  };
  const forward = (client: Socket) => {
    if (client.destroyed) return;
    const server = keep(connect({ port: to, host: '127.0.0.1', noDelay: true }));
    client.pipe(server).pipe(client);
    client.once('close', () => server.destroy());
    server.once('close', () => client.destroy());
  };
  const listener = createServer({ noDelay: true }, client => {
    keep(client);
    if (isSwallowing) waiting.push(() => forward(client));
    else forward(client);
  });
  const accept = async () => {
    if (!listener.listening) await once(listener.listen(port, '127.0.0.1'), 'listening');
  };
  const reset = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  const refuse = async () => {
    const closed = new Promise(resolve => listener.close(resolve));
    reset();
    await closed;
  };
  await accept();
  return {
    urlOf(databaseUrl) {
      const url = new URL(databaseUrl);
      url.host = `127.0.0.1:${port}`;
      return url.href;
    },
    leadTo(port) {
      to = port;
    },
    swallow() {
      isSwallowing = true;
      for (const socket of sockets) socket.pause();
    },
    release() {
      isSwallowing = false;
      for (const socket of sockets) socket.resume();
      for (const forwardNow of waiting.splice(0)) forwardNow();
    },
    reset,
    refuse,
    accept,
    stop: stopsOnce(async () => {
      if (listener.listening) await refuse();
    }),
  };
}
