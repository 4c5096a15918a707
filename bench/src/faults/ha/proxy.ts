import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** Passes connections on to whoever it points to at the time. */
export type Proxy = {
  port: number;
  /** Ends all connections; the next go to this port of the loopback address, or are refused when there is none. */
  pointTo(port: number | undefined): void;
  close(): Promise<void>;
};

export async function startProxy(): Promise<Proxy> {
  let target: number | undefined;
  const sockets = new Set<Socket>();
  const server = createServer(client => {
    if (target === undefined) return void client.destroy();
    const upstream = connect(target, '127.0.0.1');
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.setNoDelay().pipe(to);
      from
        .on('error', () => undefined)
        .once('close', () => {
          sockets.delete(from);
          to.destroy();
        });
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const pointTo = (port: number | undefined) => {
    target = port;
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    pointTo,
    async close() {
      pointTo(undefined);
      server.close();
      await once(server, 'close');
    },
  };
}
