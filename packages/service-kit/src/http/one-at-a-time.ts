import { AsyncResource } from 'node:async_hooks';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** A request and the response to it. */
export type Exchange = { request: IncomingMessage; response: ServerResponse };

type Connection = {
  current?: Exchange | undefined;
  /** The last one, when its response was sent before its request had arrived. */
  early?: Exchange | undefined;
  waiting: (() => void)[];
};

// Few clients send requests before they have the response to the one before, and those send few. A single read of the
// socket may hold two thousand.
const MAX_WAITING = 16;

const connections = new WeakMap<Socket, Connection>();

/**
 * Makes a request listener get the requests of a connection one after the other, each when the response to the one before
 * has been sent. Node alone passes on all requests that arrive: their responses pile up in memory while the client does
 * not read them, keep open the files that they stream, and those that wait for their turn do not emit `close` when the
 * connection closes.
 *
 * A connection on which more than 16 requests wait is closed.
 */
export function oneAtATime(listener: RequestListener): RequestListener {
  const serve = (connection: Connection, exchange: Exchange) => {
    const { request, response } = exchange;
    connection.current = exchange;
    response.once('close', () => {
      connection.current = undefined;
      connection.early = request.complete ? undefined : exchange;
      connection.waiting.shift()?.();
    });
    // The response before this one may have been the last of the connection.
    if (request.socket.writable) listener(request, response);
  };

  return (request, response) => {
    const { socket } = request;
    const connection = connections.get(socket) ?? { waiting: [] };
    connections.set(socket, connection);
    const begin = () => serve(connection, { request, response });
    if (!connection.current) begin();
    // It does not belong to what goes on when its turn comes, such as the trace of the request before.
    else if (connection.waiting.length < MAX_WAITING) connection.waiting.push(AsyncResource.bind(begin));
    else socket.destroy();
  };
}

/**
 * The exchange that a connection is at, also one whose response was sent while its request still arrives; `undefined` when
 * the connection is idle.
 */
export function currentExchange(socket: Socket): Exchange | undefined {
  const { current, early } = connections.get(socket) ?? {};
  return current ?? (early?.request.complete ? undefined : early);
}
