import { connect } from 'node:net';
import { createResponseReader, type HttpResponse } from './responses.js';

/** Keep-alive connections to one server. */
export type Connections = {
  /** Sends a request on a free connection, or on a new one. Rejects when that closes before the response. */
  send(request: Buffer): Promise<HttpResponse>;
  close(): void;
};

type Connection = { send(request: Buffer): Promise<HttpResponse>; close(): void };
type Waiting = { resolve(response: HttpResponse): void; reject(error: Error): void };

/** Opens connections as they are needed. They are sockets: an HTTP client would take more CPU than most servers here. */
export function openConnections(url: string): Connections {
  const { hostname, port } = new URL(url);
  const all = new Set<Connection>();
  let free: Connection[] = [];

  const open = (): Connection => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    let waiting: Waiting | undefined;
    const connection: Connection = {
      send(request) {
        return new Promise((resolve, reject) => {
          waiting = { resolve, reject };
          socket.write(request);
        });
      },
      close: () => void socket.destroy(),
    };
    const onResponse = (response: HttpResponse) => {
      const receiver = waiting;
      waiting = undefined;
      if (response.isLast) socket.end();
      else free.push(connection);
      receiver?.resolve(response);
    };
    const fail = (error: Error) => {
      all.delete(connection);
      free = free.filter(other => other !== connection);
      waiting?.reject(error);
      waiting = undefined;
      socket.destroy();
    };
    const read = createResponseReader(onResponse);
    socket
      .on('error', fail)
      .on('close', () => fail(new Error(`${url} closed a connection`)))
      .on('data', chunk => {
        try {
          read(chunk);
        } catch (error) {
          fail(error as Error);
        }
      });
    all.add(connection);
    return connection;
  };

  return {
    send: request => (free.pop() ?? open()).send(request),
    close() {
      for (const connection of all) connection.close();
    },
  };
}

/** Writes a request; with a body, it is a POST of JSON. */
export function formatRequest(url: string, headers: Record<string, string>, body?: object): Buffer {
  const { host, pathname, search } = new URL(url);
  const json = body === undefined ? '' : JSON.stringify(body);
  const fields = {
    host,
    ...headers,
    ...(body && { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(json)) }),
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${body ? 'POST' : 'GET'} ${pathname}${search} HTTP/1.1\r\n${lines.join('')}\r\n${json}`);
}

/** Sends a request and reads the JSON of its response; rejects unless that is 2xx. */
export async function sendOk(connections: Connections, request: Buffer): Promise<HttpResponse> {
  const response = await connections.send(request);
  if (response.status >= 200 && response.status < 300) return response;
  throw new Error(`a request was answered ${response.status}: ${response.body}`);
}
